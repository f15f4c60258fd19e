// Streams and events.

#include "calls.h"

namespace standin {
std::shared_ptr<Stream> stream_of(Stream* stream) {
    auto found = state().streams.find(stream);
    bool own = found != state().streams.end() && found->second->context == current;
    return own ? found->second : nullptr;
}
}  // namespace standin

using namespace standin;

namespace {
Event* event_of(Event* event) {
    auto found = state().events.find(event);
    return found != state().events.end() && found->second->context == current ? event : nullptr;
}
}  // namespace

#define STREAM(call, name, handle)     \
    auto name = stream_of(handle);     \
    if (!name) return (call).refuse(INVALID_HANDLE, "the stream is none of this context")
#define EVENT(call, name, handle)  \
    auto name = event_of(handle);  \
    if (!name) return (call).refuse(INVALID_HANDLE, "the event is none of this context")

API cuStreamCreate(Stream** stream, unsigned) {
    Call call("cuStreamCreate");
    READY(call);
    auto made = new_stream(current);
    *stream = made.get();
    state().streams[made.get()] = made;
    return SUCCESS;
}
// What it was asked for is still done.
API cuStreamDestroy_v2(Stream* stream) {
    Call call("cuStreamDestroy_v2");
    READY(call);
    STREAM(call, own, stream);
    state().streams.erase(own.get());
    return SUCCESS;
}
API cuStreamSynchronize(Stream* stream) {
    Call call("cuStreamSynchronize");
    READY(call);
    STREAM(call, own, stream);
    go_on(own, own->count);
    return current->failed;
}
API cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
    Call call("cuStreamWaitEvent");
    READY(call);
    STREAM(call, own, stream);
    EVENT(call, for_it, event);
    if (for_it->stream && for_it->stream != own) ask(own, {nullptr, for_it->stream, for_it->done});
    return SUCCESS;
}

API cuEventCreate(Event** event, unsigned) {
    Call call("cuEventCreate");
    READY(call);
    auto made = std::make_unique<Event>(Event{current, nullptr});
    *event = made.get();
    state().events[made.get()] = std::move(made);
    return SUCCESS;
}
API cuEventDestroy_v2(Event* event) {
    Call call("cuEventDestroy_v2");
    READY(call);
    EVENT(call, own, event);
    state().events.erase(own);
    return SUCCESS;
}
API cuEventRecord(Event* event, Stream* stream) {
    Call call("cuEventRecord");
    READY(call);
    STREAM(call, own, stream);
    EVENT(call, of_it, event);
    of_it->stream = own;
    of_it->done = own->count;
    return SUCCESS;
}
API cuEventQuery(Event* event) {
    Call call("cuEventQuery");
    READY(call);
    EVENT(call, own, event);
    return !own->stream || own->stream->done >= own->done ? SUCCESS : NOT_READY;
}
API cuEventSynchronize(Event* event) {
    Call call("cuEventSynchronize");
    READY(call);
    EVENT(call, own, event);
    if (own->stream) go_on(own->stream, own->done);
    return current->failed;
}
