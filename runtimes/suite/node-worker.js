import { parentPort, workerData } from 'node:worker_threads'
import { joinInvited } from 'percpu'
import { answer } from './work.js'

const machine = await joinInvited(workerData)
parentPort.on('message', (request) => answer(machine, request, (message) => parentPort.postMessage(message)))
