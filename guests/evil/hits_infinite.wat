;; world: searcher
;; parts: memory realloc manifest answer
;; Tries: to answer a document whose score is negative infinity, which only a fusion may.
;; Stopped by: the conversion: every score finite.

(data (i32.const 1024) "d1")
(data (i32.const 2048) "\00\04\00\00\02\00\00\00")

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (f64.store (i32.const 3072) (f64.const -inf))
  (call $hits (i32.const 2048) (i32.const 1) (i32.const 3072) (i32.const 1)))
