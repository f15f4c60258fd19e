;; world: fusion
;; parts: memory realloc manifest answer scores
;; Tries: to read what an earlier instance, perhaps a stranger's, left in the memory; then it
;;   fills its own memory with a secret for the next to find.
;; Stopped by: fresh instances: each page reads as zero. It fails when it sees anything else.

(data (i32.const 1024) "saw what another left")

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (local $at i32)
  (drop (memory.grow (i32.const 255)))
  (local.set $at (i32.const 65536))
  (block $clean
    (loop $look
      (br_if $clean (i32.ge_u (local.get $at) (i32.mul (memory.size) (i32.const 65536))))
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0))
        (then (return (call $failed (i32.const 1024) (i32.const 21)))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br $look)))
  (memory.fill (i32.const 65536) (i32.const 165) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 65536)))
  (call $scores (local.get $docs)))
