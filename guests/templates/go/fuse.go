// Package export_wit_world is a fusion: it answers one score per document. This one is reciprocal
// rank fusion.
package export_wit_world

import (
	"fmt"
	"runtime"
	"runtime/debug"

	types "wit_component/routir_extension_types"
	. "wit_component/wit_world"

	. "go.bytecodealliance.org/pkg/wit/types"
)

// The collector must not run while the host hands arguments over: it would read a clock, which the
// component model forbids there. So it runs only where Fuse calls it.
func init() { debug.SetGCPercent(-1) }

var calls int

// Fuse answers one score per handle.
func Fuse(query string, lists []RankedList, docCount uint32, params Params) Result[[]float64, Error] {
	// Only an instance that is kept between calls ever gets there.
	if calls++; calls%200 == 0 {
		runtime.GC()
	}
	k := 60.0
	for _, param := range params {
		if param.F0 == "k" {
			k = param.F1.Number()
		}
	}
	if k < 0 {
		message := fmt.Sprintf("`k` must be at least 0, not %g", k)
		return Err[[]float64, Error](types.MakeErrorInvalid(message))
	}
	scores := make([]float64, docCount)
	for _, list := range lists {
		for place, doc := range list.Docs {
			scores[doc] += 1 / (k + float64(place+1))
		}
	}
	return Ok[[]float64, Error](scores)
}
