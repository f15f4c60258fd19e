;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to make all memory that it may have real by writing to each page.
;; Stopped by: nothing: this much it may have. The host must have it all back after the call.

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (local $at i32)
  (block $full
    (loop $more
      (br_if $full (i32.eq (memory.grow (i32.const 1)) (i32.const -1)))
      (br $more)))
  (local.set $at (i32.const 65536))
  (block $done
    (loop $touch
      (br_if $done (i32.ge_u (local.get $at) (i32.mul (memory.size) (i32.const 65536))))
      (i32.store (local.get $at) (i32.const -1))
      (local.set $at (i32.add (local.get $at) (i32.const 4096)))
      (br $touch)))
  (call $scores (local.get $docs)))
