;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to hide the loop in calls, without a backward branch of its own that lasts.
;; Stopped by: `cpu_ms`: function entries are looked at as loops are.

(func $tree (param $depth i32)
  (if (local.get $depth)
    (then
      (call $tree (i32.sub (local.get $depth) (i32.const 1)))
      (call $tree (i32.sub (local.get $depth) (i32.const 1))))))

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $tree (i32.const 60))
  unreachable)
