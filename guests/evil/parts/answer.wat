;; Answers, laid out in 128..160 as the component model's ABI wants them.

;; `ok` with one list: scores, or strings.
(func $ok (param $at i32) (param $count i32) (result i32)
  (i32.store (i32.const 128) (i32.const 0))
  (i32.store (i32.const 132) (local.get $at))
  (i32.store (i32.const 136) (local.get $count))
  (i32.const 128))

;; `ok` with hits.
(func $hits (param $ids i32) (param $id_count i32) (param $scores i32) (param $score_count i32)
  (result i32)
  (i32.store (i32.const 140) (local.get $scores))
  (i32.store (i32.const 144) (local.get $score_count))
  (call $ok (local.get $ids) (local.get $id_count)))

;; `err(failed(text))`.
(func $failed (param $at i32) (param $length i32) (result i32)
  (i32.store (i32.const 128) (i32.const 1))
  (i32.store (i32.const 132) (i32.const 3))
  (i32.store (i32.const 136) (local.get $at))
  (i32.store (i32.const 140) (local.get $length))
  (i32.const 128))
