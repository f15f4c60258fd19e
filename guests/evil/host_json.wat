;; world: searcher
;; parts: memory realloc manifest answer request
;; Tries: to make the host hold forty times what it is handed: a parameter of 4 MiB of JSON text,
;;   `[0,0,0,...]`, which is parsed to a list of two million values.
;; Stopped by: the conversion: the JSON text of a parameter has its own bound.

(import "routir:extension/host@0.1.0" "search" (func $host_search (param i32 i32 i32)))
(data (i32.const 1024) "goodp")
(data (i32.const 1100) "the host took it")

(func (export "search")
  (param $query i32) (param $query_length i32) (param $limit i32)
  (param $params i32) (param $param_count i32) (result i32)
  (local $text i32) (local $i i32)
  (local.set $text (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4194304)))
  (loop $next
    (i32.store16 (i32.add (local.get $text) (local.get $i)) (i32.const 0x2c30))
    (local.set $i (i32.add (local.get $i) (i32.const 2)))
    (br_if $next (i32.lt_u (local.get $i) (i32.const 4194304))))
  (i32.store8 (local.get $text) (i32.const 0x5b))
  (i32.store8 (i32.add (local.get $text) (i32.const 1)) (i32.const 0x20))
  (i32.store8 (i32.add (local.get $text) (i32.const 4194303)) (i32.const 0x5d))
  ;; The parameter: its name, case `json` of the value, its text.
  (i32.store (i32.const 2200) (i32.const 1028))
  (i32.store (i32.const 2204) (i32.const 1))
  (i32.store (i32.const 2208) (i32.const 4))
  (i32.store (i32.const 2216) (local.get $text))
  (i32.store (i32.const 2220) (i32.const 4194304))
  (call $request (i32.const 2048) (i32.const 1024) (i32.const 4))
  (i32.store (i32.const 2080) (i32.const 2200))
  (i32.store (i32.const 2084) (i32.const 1))
  (call $host_search (i32.const 2048) (i32.const 1) (i32.const 3072))
  (if (i32.eqz (i32.load8_u (i32.load (i32.const 3072))))
    (then (return (call $failed (i32.const 1100) (i32.const 16)))))
  (call $hits (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
