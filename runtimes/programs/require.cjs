// CommonJS gets the package by `require`, where the runtime allows that.

const { boot } = require('percpu')

const machine = boot({ cpus: 1, memory: '1 MiB' })
if (machine.online.length !== 1) throw new Error('not online')
machine.offline().then(() => console.log('yes'))
