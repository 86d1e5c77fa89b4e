import { parentPort, workerData } from 'node:worker_threads'
import { joinInvited } from 'percpu'
import { answer } from './work.js'

const machine = await joinInvited(workerData)
const port = {
  tell: (message) => parentPort.postMessage(message),
  close: () => parentPort.close(),
}
parentPort.on('message', (request) => answer(machine, request, port))
