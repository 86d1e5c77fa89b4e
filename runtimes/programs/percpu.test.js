// Loaded by jest, whose tests are modules, and by vitest.

import { boot } from 'percpu'

test('percpu works', async () => {
  const machine = boot({ cpus: 1, memory: '4 MiB' })
  const map = machine.map('map', { key: 'string', value: 'json' })
  map.set('a', { b: 1 })
  expect(map.get('a')).toEqual({ b: 1 })
  expect(() => machine.objects.remove('none')).toThrow('none')
  await machine.offline()
})
