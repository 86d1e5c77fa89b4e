/** What the benchmarks and the tests need of the command; it has no other users. */
export { availableCpus, usableCpus, type AvailableCpus } from './available-cpus.js'
export { Terminal } from './commands/terminal.js'
export { attribution, attributionOf } from './attribution.js'
export * from './errors.js'
export { ipv4Text, ipv6Text, writeIpv4, writeIpv6 } from './address/format.js'
export {
  explainBadAddress,
  NOT_A_QUAD,
  parseAddress,
  parseIpv6,
  parseQuad,
  type Address,
} from './address/parse.js'
export { readAddress, STRICT, type AddressRules } from './address/rules.js'
export { withoutMark } from './lookup/byte-order-mark.js'
export { AddressTable, type TableSummary } from './table/address-table.js'
export {
  dataPackage,
  loadTable,
  packagedFiles,
  type LoadedTable,
  type LoadOptions,
  type LoadProgress,
} from './table/load.js'
export { columnsText, fieldsOf, parseColumns, USUAL_FORMAT, type TableFormat } from './table/format.js'
export { FirstTable } from './table/first-table.js'
export type { Pair } from './table/lookup-table.js'
export { FileTable, type FileRows } from './table/file-table.js'
export { openKept, readKept, type KeptTable } from './table/kept-table.js'
export { openTable, TableState, type TableMaps } from './table/maps.js'
export { publish, settle, type Published } from './table/publish.js'
export { pack, unpack, type PackedRows } from './table/packed.js'
export { openPacked, readPacked, writePacked } from './table/packed-file.js'
export { PackedTable } from './table/packed-table.js'
export { readTable, type ReadOptions, type TableFiles, type TableRows } from './table/read.js'
export { MAX_SHRINK, type RowCounts, type ShrinkLimit } from './table/row-counts.js'
export { AnswerWriter, lookUp, lookUpCharacters, type Answer } from './lookup/answer.js'
export { answerBatch } from './lookup/answer-batch.js'
export { JsonArrayFlattener } from './lookup/json-array.js'
export { LookupPool, type PoolOptions, type WorkerStatus } from './lookup/pool.js'
export { Crew } from './lookup/crew.js'
export { askService } from './lookup/remote.js'
export { openOutput } from './lookup/output.js'
export type { BatchFormat, BatchResult } from './lookup/protocol.js'
export { readPart, Room } from './lookup/file-part.js'
export { PartError } from './lookup/jobs.js'
export { answerParts } from './lookup/parts.js'
export { LineSplitter, MAX_LINE_BYTES } from './lookup/split.js'
export {
  answerStream,
  type InputFormat,
  type Sink,
  type StreamOptions,
  type StreamResult,
} from './lookup/stream.js'
export { metricsText } from './serve/counters.js'
export { Packer } from './serve/encodings.js'
export { canSharePort, Fronts } from './serve/fronts.js'
export { Reloader, type ReloaderOptions, type ReloadOutcome } from './serve/reload.js'
export { Service, type ServiceOptions } from './serve/service.js'
export { TABLE_NAME } from './serve/settings.js'
export { DurationTally, Tallies } from './serve/tallies.js'
export { ThreadWatch } from './serve/thread-watch.js'
export { top, type TopOptions } from './commands/top.js'
export { inspections, inspectSpaces } from './inspect/client.js'
export { inspectionMetrics } from './top/metrics.js'
export type { Report, SpacesReport, Subscription } from './inspect/protocol.js'
export { drawMaps } from './maps/picture.js'
export { renderMaps } from './maps/text.js'
export { duration, render } from './top/render.js'
export { serveInspection, type InspectionServer } from './inspect/serve-inspection.js'
export { Store, type LogRecord, type StoreOptions, type StoreReport, type StoreSink } from './store/store.js'
export type { Heard } from './nats/bucket.js'
export { FollowedTables } from './nats/followed.js'
export { rangeName } from './nats/names.js'
export { Refusal } from './serve/refusal.js'
export { decodeChange, encodeChange, type Change, type TableSpec } from './tables/change.js'
export { tableFronts } from './tables/door.js'
export { History, type ChangeEvent } from './tables/history.js'
export { TableMetrics } from './tables/metrics.js'
export { BadKey, keyCodecs, parseRange, type Key, type KeyKind, type KeyRange } from './tables/keys.js'
export { PlaceWords, RemotePlace, type TableList } from './tables/place.js'
export { RangeSet } from './tables/range-set.js'
export { readRows, type ReadRows } from './tables/read-rows.js'
export { TableService, type TableServiceOptions } from './tables/service.js'
export {
  parseFile,
  parseRowColumns,
  tableSources,
  type RowFormat,
  type TableSource,
} from './tables/source.js'
export { Table } from './tables/table.js'
export { Token } from './tables/token.js'
export { relieve, reserve } from './tables/memory.js'
export type { Outcome } from './tables/request.js'
export { Writer, type ChangeLog } from './tables/writer.js'
export { addWebRoutes, type WebOptions } from './web/routes.js'
export { machineSource, socketSource, type LiveSource, type Told } from './web/source.js'
export { measure, type Measurement, type MeasureOptions } from './bench/measure.js'
