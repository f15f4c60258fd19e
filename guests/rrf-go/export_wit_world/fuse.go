// Package export_wit_world is reciprocal rank fusion: the sum over lists of weight / (rrf_k +
// rank), rank from 1.
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
	k, weights := 0.0, []float64{1}
	for _, param := range params {
		switch param.F0 {
		case "rrf_k":
			k = param.F1.Number()
		case "weights":
			weights = param.F1.Numbers()
		}
	}
	if k < 0 {
		return invalid("`rrf_k` must be a number of at least 0, not %g", k)
	}
	if len(weights) == 0 || len(lists)%len(weights) != 0 {
		return invalid("`weights` has %d for %d lists; give one per branch", len(weights), len(lists))
	}
	total := 0.0
	for _, weight := range weights {
		if weight < 0 {
			return invalid("`weights` must be at least 0, not %g", weight)
		}
		total += weight
	}
	if total == 0 {
		return invalid("`weights` must have a number above 0")
	}

	// Under an expander a branch has one list per sub-query.
	listsPerBranch := len(lists) / len(weights)
	// Sums that keep what rounding takes from them (Knuth's two-sum), so that the order of the
	// lists does not show in the last digit, as in the native fusion.
	high, low := make([]float64, docCount), make([]float64, docCount)
	for place, list := range lists {
		weight := weights[place/listsPerBranch]
		for place, doc := range list.Docs {
			value := weight / (k + float64(place+1))
			sum := high[doc] + value
			part := sum - high[doc]
			low[doc] += (high[doc] - (sum - part)) + (value - part)
			high[doc] = sum
		}
	}
	for doc := range high {
		high[doc] += low[doc]
	}
	return Ok[[]float64, Error](high)
}

func invalid(format string, values ...any) Result[[]float64, Error] {
	return Err[[]float64, Error](types.MakeErrorInvalid(fmt.Sprintf(format, values...)))
}
