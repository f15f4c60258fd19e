//! The call itself: an instance, its time, its processor time, and what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use routir_config::ExtensionGrants;
use routir_core::{Error, ErrorCode, RequestContext, Result};
use tokio::time::timeout_at;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower};

use super::Kept;
use super::gate::Permit;
use super::kept::Live;
use crate::guest::{Call, Limiter, Phase, Profile, State, ended, own_fault};
use crate::sandbox::Machine;
use crate::schedule::{Account, Stopped};
use crate::wasi::WasiState;

/// A component's code, linked to what it may import.
pub(crate) struct Code {
    /// The code.
    pub(crate) pre: InstancePre<State>,
    /// Whether it counts instructions.
    pub(crate) counts_fuel: bool,
    /// What it sees of the world.
    pub(crate) grants: ExtensionGrants,
}

/// What is to be done for whom.
pub(crate) struct Job {
    pub(crate) profile: Arc<Profile>,
    pub(crate) context: Arc<RequestContext>,
    pub(crate) account: Arc<Account>,
    pub(crate) phase: Phase,
}

/// What a call used.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct CallReport {
    /// From the request for an instance to the answer.
    pub took: Duration,
    /// Bytes of memory of its instance at the end.
    pub memory_bytes: usize,
    /// Instructions, where they are counted.
    pub fuel: Option<u64>,
    /// Requests to the host.
    pub host_calls: u32,
}

struct Done<R> {
    answer: R,
    used: CallReport,
    live: Option<Live>,
    /// Goes back only when the instance is gone or resting, so that the pool is never short.
    _permit: Permit,
}

/// Calls the function at `export`, in an instance of its own or in one that was kept.
///
/// # Errors
/// [`ErrorCode::EngineFailure`] naming the extension and what it did or which limit it met;
/// [`ErrorCode::DeadlineExceeded`] when the request's own deadline passed;
/// [`ErrorCode::Overloaded`] when no instance came free in time.
pub(crate) async fn run<P, R>(
    machine: &Machine,
    code: &Arc<Code>,
    kept: Option<&Arc<Kept>>,
    job: Job,
    export: ComponentExportIndex,
    args: P,
) -> Result<(R, CallReport)>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: Send + Sync + 'static,
    (R,): ComponentNamedList + Lift + Send + Sync + 'static,
{
    let clock = Clock::start(&job)?;
    let profile = Arc::clone(&job.profile);
    let account = Arc::clone(&job.account);
    let tenant = Arc::as_ptr(&account).addr();
    let enter = machine.gate.enter(tenant, account.weight(), clock.depth);
    let permit = timeout_at(clock.end.into(), enter)
        .await
        .map_err(|_| clock.no_instance(&profile))?;

    let fresh = kept.is_none();
    let found = kept.and_then(|kept| kept.take());
    let code = Arc::clone(code);
    let work = async move {
        let mut done = answer::<P, R>(code, found, job, export, args, permit).await?;
        if fresh {
            // Here, so that taking it down is paid by who had it built.
            done.live = None;
        }
        Ok::<_, Error>(done)
    };
    let cpu = Duration::from_millis(profile.limits.cpu_ms.into());
    let running = machine.scheduler.run(account, cpu, work);
    let done = match timeout_at(clock.end.into(), running).await {
        Err(_) => return Err(clock.over(&profile)),
        Ok(Err(stopped)) => return Err(not_finished(&profile, &stopped)),
        Ok(Ok(done)) => done?,
    };
    if let (Some(kept), Some(live)) = (kept, done.live) {
        kept.put(live);
    }
    let took = clock.start.elapsed();
    Ok((done.answer, CallReport { took, ..done.used }))
}

fn not_finished(profile: &Profile, stopped: &Stopped) -> Error {
    let identity = &profile.identity;
    match stopped {
        Stopped::CpuLimit { .. } => {
            let most = profile.limits.cpu_ms;
            let what =
                format!("was stopped: it used more than {most} ms of processor time (`cpu_ms`)");
            own_fault(identity, what)
        }
        Stopped::Panicked(_) | Stopped::NoThread(_) => {
            Error::internal(format!("extension `{identity}` {stopped}"))
        }
    }
}

async fn answer<P, R>(
    code: Arc<Code>,
    found: Option<Live>,
    job: Job,
    export: ComponentExportIndex,
    args: P,
    permit: Permit,
) -> Result<Done<R>>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: Send + Sync + 'static,
    (R,): ComponentNamedList + Lift + Send + Sync + 'static,
{
    let profile = Arc::clone(&job.profile);
    let (identity, limits) = (&profile.identity, &profile.limits);
    let mut live = match found {
        Some(live) => again(live, job)?,
        None => make(&code, job).await?,
    };
    let fail = |error: &wasmtime::Error, store: &Store<State>| {
        ended(identity, limits, error, store.data().limiter.refused())
    };
    if code.counts_fuel {
        let fuel = limits.fuel.unwrap_or(u64::MAX);
        live.store
            .set_fuel(fuel)
            .map_err(|e| fail(&e, &live.store))?;
    }
    let function = live
        .instance
        .get_typed_func::<P, (R,)>(&mut live.store, export)
        .map_err(|error| fail(&error, &live.store))?;
    let (answer,) = function
        .call_async(&mut live.store, args)
        .await
        .map_err(|error| fail(&error, &live.store))?;
    let call = &live.store.data().call;
    let used = CallReport {
        took: Duration::ZERO,
        host_calls: limits.host_calls.saturating_sub(call.host_calls_left),
        memory_bytes: live.store.data().limiter.memory(),
        fuel: live
            .store
            .get_fuel()
            .ok()
            .map(|left| limits.fuel.unwrap_or(u64::MAX).saturating_sub(left)),
    };
    live.store.data_mut().call.end();
    Ok(Done {
        answer,
        used,
        live: Some(live),
        _permit: permit,
    })
}

/// An instance of its own.
async fn make(code: &Code, job: Job) -> Result<Live> {
    let profile = Arc::clone(&job.profile);
    let limits = &profile.limits;
    let state = State {
        limiter: Limiter::new(limits, Arc::clone(&job.account)),
        wasi: WasiState::new(&code.grants),
        call: Call::new(job.profile, job.context, job.account, Phase::Describing),
    };
    let mut store = Store::new(code.pre.engine(), state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(limits.output_bytes);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    if code.counts_fuel
        && let Err(error) = store.set_fuel(limits.fuel.unwrap_or(u64::MAX))
    {
        return Err(ended(&profile.identity, limits, &error, None));
    }
    match code.pre.instantiate_async(&mut store).await {
        Ok(instance) => {
            store.data_mut().call.phase = job.phase;
            Ok(Live::new(store, instance))
        }
        Err(error) => {
            let refused = store.data().limiter.refused();
            Err(ended(&profile.identity, limits, &error, refused))
        }
    }
}

/// An instance that was kept, for its next call.
fn again(mut live: Live, job: Job) -> Result<Live> {
    let state = live.store.data_mut();
    if !state.limiter.charge(&job.account) {
        let what = "was not called: its memory is over the tenant's quota (`quotas.memory_mb`)";
        return Err(own_fault(&job.profile.identity, what));
    }
    state.call = Call::new(job.profile, job.context, job.account, job.phase);
    live.store.set_epoch_deadline(1);
    Ok(live)
}

/// When a call must have ended, and why.
struct Clock {
    start: Instant,
    end: Instant,
    deadline: Option<Instant>,
    depth: usize,
}

impl Clock {
    fn start(job: &Job) -> Result<Self> {
        let now = Instant::now();
        let own = now + Duration::from_millis(job.profile.limits.time_ms.into());
        let deadline = job.context.deadline;
        let clock = Self {
            start: now,
            end: deadline.map_or(own, |deadline| deadline.min(own)),
            deadline,
            depth: job.context.chain.len(),
        };
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(clock.over(&job.profile));
        }
        Ok(clock)
    }

    fn deadline_passed(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= self.end)
    }

    fn over(&self, profile: &Profile) -> Error {
        let identity = &profile.identity;
        if self.deadline_passed() {
            let message = format!("the deadline passed while extension `{identity}` was answering");
            return Error::new(ErrorCode::DeadlineExceeded, message);
        }
        let most = profile.limits.time_ms;
        own_fault(
            identity,
            format!("was stopped: it took longer than {most} ms (`time_ms`)"),
        )
    }

    fn no_instance(&self, profile: &Profile) -> Error {
        let identity = &profile.identity;
        if self.deadline_passed() {
            let message = format!(
                "the deadline passed while extension `{identity}` waited for a free instance"
            );
            return Error::new(ErrorCode::DeadlineExceeded, message);
        }
        let message = format!(
            "no instance came free for extension `{identity}` within {} ms; too many calls of \
             extensions at once",
            profile.limits.time_ms
        );
        Error::new(ErrorCode::Overloaded, message).with_retry_after(Duration::from_secs(1))
    }
}
