;; One page to begin with. 0..1024 belongs to the parts, 1024..4096 to the guest, the rest is heap.
(memory (export "memory") 1)
