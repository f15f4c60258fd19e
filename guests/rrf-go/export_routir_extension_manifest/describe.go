// Package export_routir_extension_manifest says who the extension is.
package export_routir_extension_manifest

import (
	manifest "wit_component/routir_extension_manifest"

	. "go.bytecodealliance.org/pkg/wit/types"
)

// Describe answers the manifest.
func Describe() manifest.Info {
	return manifest.Info{
		Name:        "rrf-go",
		Version:     "0.1.0",
		Description: "reciprocal rank fusion in Go",
		Params: Some([]manifest.Param{
			{
				Name:        "rrf_k",
				Kind:        manifest.ParamKindNumber,
				Default:     Some("0"),
				Description: "added to every rank, at least 0",
			},
			{
				Name:        "weights",
				Kind:        manifest.ParamKindNumbers,
				Default:     None[string](),
				Description: "one number of at least 0 per branch; 1 for all when absent",
			},
		}),
	}
}
