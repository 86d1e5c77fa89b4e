/**
 * As a field of what another thread opens by its name: the host refuses to send it, and has this
 * text in its error. What arrived there would have no methods. It is the first field: the error is
 * about the first one that cannot be sent.
 */
export const ofThisThread = Symbol('an object of this thread (send machine.handle, and its name)')
/** As that, of a struct, which is code as much as data. */
export const ofModule = Symbol('a struct (export it from a module that both threads import)')
