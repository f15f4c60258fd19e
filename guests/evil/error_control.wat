;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to forge lines and colours of an operator's terminal in an error's text.
;; Stopped by: the conversion: control characters are not passed on.

(data (i32.const 1024) "all fine\0aERROR forged line\1b[2J\0d\00\e2\80\ae")

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (call $failed (i32.const 1024) (i32.const 35)))
