/** Runs shapes and traces on real worker threads, and compares what they do with the lab. */
export { ConformanceFailure, engineAndCpu } from './engine.js'
export { replayTrace, type ReplayReport } from './replay.js'
export { formatShape, runShape, type ShapeOptions, type ShapeOutcome, type ShapeReport } from './shape.js'
