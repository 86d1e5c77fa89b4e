import { joinInvited } from 'percpu'
import { answer } from './work.js'

const tell = (message) => self.postMessage(message)
const port = { tell, close: () => self.close() }
/** The first message is the invitation; requests that follow wait for the machine. */
let machine
self.addEventListener('message', ({ data }) => {
  if (machine === undefined) machine = joinInvited(data)
  else
    machine.then(
      (joined) => answer(joined, data, port),
      (error) => tell({ id: 'failed', error: String(error) }),
    )
})
