;; An honest manifest: `evil` 0.1.0, any parameters.
(data (i32.const 16) "evil")
(data (i32.const 24) "0.1.0")
(data (i32.const 32) "hostile")
(data (i32.const 64) "\10\00\00\00\04\00\00\00" "\18\00\00\00\05\00\00\00" "\20\00\00\00\07\00\00\00")
(func (export "routir:extension/manifest@0.1.0#describe") (result i32) (i32.const 64))
