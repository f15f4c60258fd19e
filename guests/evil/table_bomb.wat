;; world: fusion
;; parts: memory realloc manifest answer
;; Tries: to take tables' memory, which is not the linear memory.
;; Stopped by: `table_elements` refuses the growth; `cpu_ms` ends the asking.

(table $t 1 funcref)

(func (export "fuse")
  (param $query i32) (param $query_length i32) (param $lists i32) (param $list_count i32)
  (param $docs i32) (param $params i32) (param $param_count i32) (result i32)
  (loop $ever
    (drop (table.grow $t (ref.null func) (i32.const 1000)))
    (br $ever))
  unreachable)
