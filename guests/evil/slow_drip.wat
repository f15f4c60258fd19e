;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to stay under the limit of a call, over and over: every call burns some 30 ms and
;;   answers.
;; Stopped by: nothing in one call, which is allowed; the tenant's `cpu_ms_per_s` and fair shares
;;   hold it back.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (local $i i32)
  (loop $burn
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $burn (i32.lt_u (local.get $i) (i32.const 30000000))))
  (call $scores (local.get $docs)))
