import { boot } from 'percpu'
import { MemPool } from '@thi.ng/malloc'
const m = boot({memory:'256 MiB', cpus:2})
const c = m.cache('r', {size:64, align:8, hash:0})
const pool = new MemPool({ size: 64*2**20 })
function a(n){ let s=0; for(let i=0;i<n;i++){const x=m.alloc(64); s+=x; m.free(x)} return s}
function b(n){ let s=0; for(let i=0;i<n;i++){const x=c.allocate(); s+=x; c.free(x)} return s}
function t(n){ let s=0; for(let i=0;i<n;i++){const x=pool.malloc(64); s+=x; pool.free(x)} return s}
function p(n){ let s=0; for(let i=0;i<n;i++){const x=m.pages.allocate(0); s+=x; m.pages.free(x,0)} return s}
for (const [name,f] of [['machine',a],['cache',b],['thi',t],['pages',p]]) { for(let i=0;i<300;i++)f(1000); let best=1e9; for(let k=0;k<600;k++){const t0=process.hrtime.bigint(); f(1e4); best=Math.min(best, Number(process.hrtime.bigint()-t0)/1e4)} console.log(name,best.toFixed(2)) }
