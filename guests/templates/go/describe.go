// Package export_routir_extension_manifest says who the extension is.
package export_routir_extension_manifest

import (
	manifest "wit_component/routir_extension_manifest"

	. "go.bytecodealliance.org/pkg/wit/types"
)

// Describe answers the manifest.
func Describe() manifest.Info {
	return manifest.Info{
		Name:        "my-extension",
		Version:     "0.1.0",
		Description: "reciprocal rank fusion",
		Params: Some([]manifest.Param{{
			Name:        "k",
			Kind:        manifest.ParamKindNumber,
			Default:     Some("60"),
			Description: "added to every rank, at least 0",
		}}),
	}
}
