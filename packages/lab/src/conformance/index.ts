/** Runs on real worker threads what the lab says of them. */
export { ConformanceFailure, engineAndCpu } from './engine.js'
export { replayTrace, type ReplayReport } from './replay.js'
export { formatShape, runShape, type ShapeOptions, type ShapeOutcome, type ShapeReport } from './shape.js'
