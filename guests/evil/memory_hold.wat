;; world: searcher
;; parts: memory realloc manifest answer request
;; Tries: to take nearly all memory that it may have and to hold it while it waits for the host.
;; Stopped by: `time_ms`, since waiting costs no processor time; the tenant's `memory_mb` bounds
;;   how many may wait so.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))
(data (i32.const 1024) "slow")

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (local $at i32)
  (block $full
    (loop $more
      (br_if $full (i32.ge_u (memory.size) (i32.const 128)))
      (br_if $full (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))
      (br $more)))
  (memory.fill (i32.const 65536) (i32.const 1) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 65536)))
  (call $request (i32.const 2048) (i32.const 1024) (i32.const 4))
  (call $host_search (i32.const 2048) (i32.const 1) (i32.const 3072))
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
