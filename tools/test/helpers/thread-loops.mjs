/** Marks that this thread ran. */
export function meet({ arrivals }, thread) {
  const words = new Int32Array(arrivals)
  return (count) => {
    for (let i = 0; i < count; i++) Atomics.or(words, 0, 1 << thread)
    return words[0]
  }
}
