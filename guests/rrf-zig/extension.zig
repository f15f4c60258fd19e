//! Reciprocal rank fusion: the sum over lists of weight / (rrf_k + rank), rank from 1.

const std = @import("std");
const c = @import("fusion.zig"); // The bindings of C, by `zig translate-c`.

// Without this the panic handler of the standard library asks for files and a terminal.
pub const panic = std.debug.no_panic;

const allocator = std.heap.c_allocator;

/// The host frees what is answered, so texts are copied to the heap.
fn text(literal: []const u8) c.fusion_string_t {
    const copy = allocator.dupe(u8, literal) catch @trap();
    return .{ .ptr = copy.ptr, .len = copy.len };
}

export fn exports_routir_extension_manifest_describe(info: *c.exports_routir_extension_manifest_info_t) void {
    const params = allocator.alloc(c.exports_routir_extension_manifest_param_t, 2) catch @trap();
    params[0] = .{
        .name = text("rrf_k"),
        .kind = c.EXPORTS_ROUTIR_EXTENSION_MANIFEST_PARAM_KIND_NUMBER,
        .default_ = .{ .is_some = true, .val = text("0") },
        .description = text("added to every rank, at least 0"),
    };
    params[1] = .{
        .name = text("weights"),
        .kind = c.EXPORTS_ROUTIR_EXTENSION_MANIFEST_PARAM_KIND_NUMBERS,
        .default_ = .{ .is_some = false },
        .description = text("one number of at least 0 per branch; 1 for all when absent"),
    };
    info.* = .{
        .name = text("rrf-zig"),
        .version = text("0.1.0"),
        .description = text("reciprocal rank fusion in Zig"),
        .params = .{ .is_some = true, .val = .{ .ptr = params.ptr, .len = params.len } },
    };
}

fn find(params: *const c.fusion_params_t, name: []const u8) ?*const c.routir_extension_types_value_t {
    for (params.ptr[0..params.len]) |*param| {
        if (std.mem.eql(u8, param.f0.ptr[0..param.f0.len], name)) return &param.f1;
    }
    return null;
}

/// A sum that keeps what rounding takes from it (Knuth's two-sum), so that the order of the lists
/// does not show in the last digit, as in the native fusion.
const Sum = struct {
    high: f64 = 0,
    low: f64 = 0,

    fn add(self: *Sum, value: f64) void {
        const sum = self.high + value;
        const part = sum - self.high;
        self.low += (self.high - (sum - part)) + (value - part);
        self.high = sum;
    }
};

/// The scores, or what is wrong with the parameters.
const Answer = union(enum) { scores: []f64, invalid: []const u8 };

fn fuse(lists: []const c.fusion_ranked_list_t, doc_count: u32, params: *const c.fusion_params_t) Answer {
    const k = if (find(params, "rrf_k")) |value| value.val.number else 0;
    if (k < 0) return .{ .invalid = "`rrf_k` must be a number of at least 0" };

    var weights: []const f64 = &.{1};
    if (find(params, "weights")) |value| weights = value.val.numbers.ptr[0..value.val.numbers.len];
    if (weights.len == 0 or lists.len % weights.len != 0)
        return .{ .invalid = "`weights` must have one number per branch" };
    var total: f64 = 0;
    for (weights) |weight| {
        if (weight < 0) return .{ .invalid = "`weights` must be at least 0" };
        total += weight;
    }
    if (total == 0) return .{ .invalid = "`weights` must have a number above 0" };

    // Under an expander a branch has one list per sub-query.
    const lists_per_branch = lists.len / weights.len;
    const sums = allocator.alloc(Sum, doc_count) catch @trap();
    defer allocator.free(sums);
    @memset(sums, .{});
    for (lists, 0..) |list, place| {
        const weight = weights[place / lists_per_branch];
        for (list.docs.ptr[0..list.docs.len], 1..) |doc, rank| {
            sums[doc].add(weight / (k + @as(f64, @floatFromInt(rank))));
        }
    }
    const scores = allocator.alloc(f64, doc_count) catch @trap();
    for (scores, sums) |*score, sum| score.* = sum.high + sum.low;
    return .{ .scores = scores };
}

export fn exports_fusion_fuse(
    query: *c.fusion_string_t,
    lists: *c.fusion_list_ranked_list_t,
    doc_count: u32,
    params: *c.fusion_params_t,
    scores: *c.fusion_list_f64_t,
    failure: *c.fusion_error_t,
) bool {
    // The arguments are ours to free.
    defer c.fusion_string_free(query);
    defer c.fusion_list_ranked_list_free(lists);
    defer c.fusion_params_free(params);
    switch (fuse(lists.ptr[0..lists.len], doc_count, params)) {
        .scores => |answer| {
            scores.* = .{ .ptr = answer.ptr, .len = answer.len };
            return true;
        },
        .invalid => |message| {
            failure.* = .{
                .tag = c.ROUTIR_EXTENSION_TYPES_ERROR_INVALID,
                .val = .{ .invalid = text(message) },
            };
            return false;
        },
    }
}
