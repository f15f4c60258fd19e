;; world: searcher
;; parts: memory manifest answer
;; Tries: to hand out memory that it does not have, for the host to write arguments to.
;; Stopped by: the bounds check of the lowering.

(func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const -65536))

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
