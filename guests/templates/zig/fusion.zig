//! A fusion: answers one score per document. This one is reciprocal rank fusion.

const std = @import("std");
const c = @import("fusion.zig"); // The bindings of C, which build.sh translates.

// Without this the panic handler of the standard library asks for files and a terminal.
pub const panic = std.debug.no_panic;

const allocator = std.heap.c_allocator;

/// The host frees what is answered, so texts are copied to the heap.
fn text(literal: []const u8) c.fusion_string_t {
    const copy = allocator.dupe(u8, literal) catch @trap();
    return .{ .ptr = copy.ptr, .len = copy.len };
}

export fn exports_routir_extension_manifest_describe(info: *c.exports_routir_extension_manifest_info_t) void {
    const params = allocator.alloc(c.exports_routir_extension_manifest_param_t, 1) catch @trap();
    params[0] = .{
        .name = text("k"),
        .kind = c.EXPORTS_ROUTIR_EXTENSION_MANIFEST_PARAM_KIND_NUMBER,
        .default_ = .{ .is_some = true, .val = text("60") },
        .description = text("added to every rank, at least 0"),
    };
    info.* = .{
        .name = text("my-extension"),
        .version = text("0.1.0"),
        .description = text("reciprocal rank fusion"),
        .params = .{ .is_some = true, .val = .{ .ptr = params.ptr, .len = params.len } },
    };
}

fn number(params: *const c.fusion_params_t, name: []const u8) ?f64 {
    for (params.ptr[0..params.len]) |param| {
        if (std.mem.eql(u8, param.f0.ptr[0..param.f0.len], name)) return param.f1.val.number;
    }
    return null;
}

export fn exports_fusion_fuse(
    query: *c.fusion_string_t,
    lists: *c.fusion_list_ranked_list_t,
    doc_count: u32,
    params: *c.fusion_params_t,
    answer: *c.fusion_list_f64_t,
    failure: *c.fusion_error_t,
) bool {
    // The arguments are ours to free.
    defer c.fusion_string_free(query);
    defer c.fusion_list_ranked_list_free(lists);
    defer c.fusion_params_free(params);
    const k = number(params, "k") orelse 60;
    if (k < 0) {
        failure.* = .{
            .tag = c.ROUTIR_EXTENSION_TYPES_ERROR_INVALID,
            .val = .{ .invalid = text("`k` must be at least 0") },
        };
        return false;
    }
    const scores = allocator.alloc(f64, doc_count) catch @trap();
    @memset(scores, 0);
    for (lists.ptr[0..lists.len]) |list| {
        for (list.docs.ptr[0..list.docs.len], 1..) |doc, rank| {
            scores[doc] += 1 / (k + @as(f64, @floatFromInt(rank)));
        }
    }
    answer.* = .{ .ptr = scores.ptr, .len = scores.len };
    return true;
}
