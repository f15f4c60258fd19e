//! Who is asked for an answer, and who next when that one fails before it answered.

use std::sync::Arc;

use super::verdict::Verdict;
use super::{Answer, Job, Proxy, Refusal};
use crate::pools::Membership;
use crate::want::Need;
use crate::worker::{Choice, ModelState, Worker, choose};

/// So many workers may break with one request; it may be the request that breaks them.
pub(crate) const MAX_LOST: usize = 2;

/// What came of asking one worker.
pub(super) enum Attempt {
    /// This is the answer.
    Answer(Answer),
    /// It refused; unless another does better, this is the answer.
    Refused(Answer, Verdict),
    /// It did not answer.
    Failed(Refusal, Then),
    /// It began to fail while the request waited for a place.
    Left,
}

/// What follows when a worker did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Another may be asked: this one has not had the request.
    Next,
    /// Another may be asked, and this one broke with the request.
    Lost,
    /// Nobody may be asked any more.
    Over,
}

impl Proxy {
    /// Asks worker after worker, each at most once, until one answers or nobody may be asked.
    pub(super) async fn until_answered(
        &self,
        job: &Job<'_>,
        membership: &Membership,
    ) -> Result<Answer, Refusal> {
        let mut tried = Vec::new();
        // The first one's refusal, and whether only who has the model loaded may still do better.
        let mut refused: Option<Answer> = None;
        let mut loaded_alone = false;
        let mut failed = None;
        let mut lost = 0;
        let mut left: Option<Arc<Worker>> = None;
        loop {
            let workers = self.registry.workers();
            let mut rng = fastrand::Rng::new();
            let mut policy = self.policy;
            if loaded_alone {
                policy.spill = None;
            }
            let choice = choose(&workers, job.want, membership, &tried, policy, &mut rng);
            let stays = matches!(choice, Choice::None(_));
            let worker = match choice {
                Choice::Worker(worker) => worker,
                Choice::None(why) => match (refused.take(), left.take()) {
                    (Some(answer), _) => return Ok(answer),
                    // Nobody is better than who was waited for.
                    (None, Some(worker)) => worker,
                    (None, None) => return Err(failed.unwrap_or(Refusal::Nobody(why))),
                },
            };
            drop(workers);
            if loaded_alone
                && !has_loaded(&worker, &job.want.need)
                && let Some(answer) = refused.take()
            {
                return Ok(answer);
            }
            if !tried.is_empty() && !stays {
                self.passed_on();
            }
            let attempted = self.attempt(job, &worker, stays).await;
            tried.push(worker.id());
            match attempted {
                Attempt::Left => left = Some(worker),
                Attempt::Answer(answer) => {
                    job.source.forget();
                    return Ok(answer);
                }
                Attempt::Refused(answer, verdict) => {
                    if verdict == Verdict::Final {
                        return Ok(answer);
                    }
                    let status = answer.response.status();
                    tracing::debug!(worker = %worker.url(), %status, "passed on");
                    loaded_alone |= verdict == Verdict::NextIfLoaded;
                    let first = refused.take().unwrap_or(answer);
                    if !job.source.can_replay() {
                        return Ok(first);
                    }
                    refused = Some(first);
                }
                Attempt::Failed(why, then) => {
                    tracing::info!(worker = %worker.url(), %why, "a worker did not answer");
                    lost += usize::from(then == Then::Lost);
                    // Whoever is told to come again would break more of them.
                    if lost >= MAX_LOST {
                        return Err(why.lost());
                    }
                    if then == Then::Over || !job.source.can_replay() {
                        return match refused {
                            Some(first) if !matches!(why, Refusal::Body(_)) => Ok(first),
                            _ => Err(why),
                        };
                    }
                    failed = Some(why);
                }
            }
        }
    }
}

fn has_loaded(worker: &Worker, need: &Need) -> bool {
    !matches!(need, Need::Model(_)) || model_at(worker, need) == Some(ModelState::Loaded)
}

/// How far the model that is needed is at a worker, if that lists it.
pub(super) fn model_at(worker: &Worker, need: &Need) -> Option<ModelState> {
    let Need::Model(model) = need else {
        return None;
    };
    let facts = worker.facts_now();
    facts.models.get(&model.key).map(|known| known.state)
}
