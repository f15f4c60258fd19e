;; One request for the host's `search` (40 bytes at $at): the pipeline's text is also the query.
(func $request (param $at i32) (param $text i32) (param $length i32)
  (memory.fill (local.get $at) (i32.const 0) (i32.const 40))
  (i32.store (local.get $at) (local.get $text))
  (i32.store offset=4 (local.get $at) (local.get $length))
  (i32.store offset=8 (local.get $at) (local.get $text))
  (i32.store offset=12 (local.get $at) (local.get $length))
  (i32.store offset=28 (local.get $at) (i32.const 10)))
