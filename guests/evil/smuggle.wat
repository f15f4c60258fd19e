;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to carry state from one call to the next, in a global, in memory and in a table.
;; Stopped by: fresh instances per call. It fails in its second call if it remembers the first.

(global $calls (mut i32) (i32.const 0))
(table $t 2 funcref)
(elem declare func $realloc)
(data (i32.const 1024) "remembers an earlier call")

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (if (i32.or
        (i32.or (global.get $calls) (i32.load (i32.const 2048)))
        (i32.eqz (ref.is_null (table.get $t (i32.const 1)))))
    (then (return (call $failed (i32.const 1024) (i32.const 25)))))
  (global.set $calls (i32.const 1))
  (i32.store (i32.const 2048) (i32.const 1))
  (table.set $t (i32.const 1) (ref.func $realloc))
  (call $scores (local.get $docs)))
