//! Who may ask the router for what.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use routir_core::{Error, Result};
use routir_listen::ApiKey;

use crate::RouterOptions;

/// What a request does, as far as leave to do it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Asks whether the router lives.
    Probe,
    /// Looks at the cluster: status, metrics, feeds.
    Look,
    /// Uses what workers offer.
    Use,
    /// Changes pools.
    Change,
}

/// Who may ask for what.
#[derive(Debug)]
pub(crate) struct Auth {
    /// `None` lets everybody in.
    tokens: Option<Vec<ApiKey>>,
    admin: Option<ApiKey>,
    looks_are_open: bool,
    changes_need_admin: bool,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stranger {
    /// It bears no key.
    Missing,
    /// It bears a wrong one.
    Wrong,
    /// Its key opens other things.
    NotAdmin,
}

impl Auth {
    /// # Errors
    /// For a mode that is none, for one without the tokens that it needs, and for tokens without a
    /// mode: what was meant to be closed is never open by mistake.
    pub(crate) fn new(options: &RouterOptions) -> Result<Self> {
        let mode = options.auth_mode.trim().to_ascii_lowercase();
        let closed = match mode.as_str() {
            "" | "none" => false,
            "static" | "token" => true,
            other => {
                return Err(Error::invalid(format!(
                    "auth mode `{}` is unknown; it is `none`, `static` or `token`",
                    routir_core::shorten(other)
                )));
            }
        };
        let key = |token: &crate::Secret| ApiKey::new(token.reveal());
        let tokens = options.auth_tokens.iter().map(key);
        let tokens = tokens.collect::<Result<Vec<_>>>()?;
        let admin = options.admin_token.as_ref().map(key).transpose()?;
        if mode.is_empty() && (!tokens.is_empty() || admin.is_some()) {
            return Err(Error::invalid(
                "there are tokens, but no auth mode, so it is not said whether they are asked for; \
                 set `SIE_AUTH_MODE` to `static`, or to `none` to let everybody in",
            ));
        }
        if closed && tokens.is_empty() {
            return Err(Error::invalid(format!(
                "auth mode `{mode}` lets nobody in without tokens; set them, or the mode to `none`"
            )));
        }
        if options.pools_need_admin && (admin.is_none() || !closed) {
            return Err(Error::invalid(
                "changes of pools are the admin's alone, but there is no admin token or auth is off; \
                 set both, or let every token change pools",
            ));
        }
        Ok(Self {
            tokens: closed.then_some(tokens),
            admin,
            looks_are_open: options.auth_exempt_operational,
            changes_need_admin: options.pools_need_admin,
        })
    }

    /// Whether the bearer of `headers` may do `act`.
    ///
    /// # Errors
    /// When not.
    pub(crate) fn check(&self, act: Act, headers: &HeaderMap) -> Result<(), Stranger> {
        let Some(tokens) = &self.tokens else {
            return Ok(());
        };
        match act {
            Act::Probe => return Ok(()),
            Act::Look if self.looks_are_open => return Ok(()),
            _ => {}
        }
        let presented = presented(headers).ok_or(Stranger::Missing)?;
        // All are compared, whichever fits.
        let fits = |keys: &[ApiKey]| {
            keys.iter()
                .fold(false, |found, key| key.matches(presented) | found)
        };
        let user = fits(tokens);
        let admin = fits(self.admin.as_slice());
        match act {
            Act::Change if self.changes_need_admin && user && !admin => Err(Stranger::NotAdmin),
            _ if user || admin => Ok(()),
            _ => Err(Stranger::Wrong),
        }
    }
}

/// The token that `headers` bear: `Bearer` before it may stand in any spelling, or not at all.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes().trim_ascii();
    let token = match value.split_at_checked(6) {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case(b"bearer")
                && rest.first().is_none_or(u8::is_ascii_whitespace) =>
        {
            rest.trim_ascii()
        }
        _ => value,
    };
    (!token.is_empty()).then_some(token)
}

/// A token as the log shows it: stars and the last four characters, if it is long enough that these
/// give nothing away.
pub(crate) fn masked(headers: &HeaderMap) -> Option<Arc<str>> {
    let token = presented(headers)?;
    let tail = token.len().checked_sub(4).filter(|hidden| *hidden >= 4);
    let tail = tail.and_then(|at| token.get(at..)).unwrap_or_default();
    let tail: String = tail
        .iter()
        .map(|byte| match byte.is_ascii_graphic() {
            true => char::from(*byte),
            false => '?',
        })
        .collect();
    Some(format!("****{tail}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    fn auth(change: impl FnOnce(&mut RouterOptions)) -> Result<Auth> {
        let mut options = RouterOptions {
            auth_mode: "static".into(),
            auth_tokens: vec![Secret::new("t0ken-one"), Secret::new("t0ken-two")],
            ..RouterOptions::default()
        };
        change(&mut options);
        Auth::new(&options)
    }

    fn headers(value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.try_into().unwrap())])
    }

    #[test]
    fn every_spelling_of_a_token_opens_and_nothing_else() {
        let auth = auth(|_| {}).unwrap();
        for open in [
            "Bearer t0ken-one",
            "bearer  t0ken-two",
            "t0ken-one",
            "BEARER t0ken-one ",
        ] {
            assert_eq!(
                auth.check(Act::Use, &headers(open.as_bytes())),
                Ok(()),
                "{open}"
            );
        }
        for (closed, why) in [
            (&b"Bearer"[..], Stranger::Missing),
            (b"Bearer t0ken", Stranger::Wrong),
            (b"Basic t0ken-one", Stranger::Wrong),
            (b"Bearert0ken-one", Stranger::Wrong),
            (b"Bearer t\xc3\xb6ken", Stranger::Wrong),
            (b"\xff", Stranger::Wrong),
        ] {
            assert_eq!(
                auth.check(Act::Use, &headers(closed)),
                Err(why),
                "{closed:?}"
            );
        }
        assert_eq!(
            auth.check(Act::Use, &HeaderMap::new()),
            Err(Stranger::Missing)
        );
        assert_eq!(
            auth.check(Act::Look, &HeaderMap::new()),
            Err(Stranger::Missing)
        );
        assert_eq!(auth.check(Act::Probe, &HeaderMap::new()), Ok(()));
    }

    #[test]
    fn the_operator_decides_what_is_open_and_what_the_admins() {
        let open = auth(|options| options.auth_exempt_operational = true).unwrap();
        assert_eq!(open.check(Act::Look, &HeaderMap::new()), Ok(()));
        let strict = auth(|options| {
            options.admin_token = Some(Secret::new("adm1n-key"));
            options.pools_need_admin = true;
        });
        let strict = strict.unwrap();
        let (user, admin) = (headers(b"t0ken-one"), headers(b"adm1n-key"));
        assert_eq!(strict.check(Act::Change, &user), Err(Stranger::NotAdmin));
        assert_eq!(strict.check(Act::Change, &admin), Ok(()));
        assert_eq!(strict.check(Act::Use, &admin), Ok(()));
        let none = auth(|options| options.auth_mode = "None".into()).unwrap();
        assert_eq!(none.check(Act::Change, &HeaderMap::new()), Ok(()));
    }

    #[test]
    fn what_would_be_open_by_mistake_does_not_start() {
        assert!(auth(|options| options.auth_mode = "statik".into()).is_err());
        assert!(auth(|options| options.auth_tokens.clear()).is_err());
        assert!(auth(|options| options.auth_tokens.push(Secret::new(" "))).is_err());
        assert!(auth(|options| options.pools_need_admin = true).is_err());
        // Tokens alone do not say that they are asked for.
        let untold = |options: &mut RouterOptions| options.auth_mode.clear();
        assert!(auth(untold).is_err());
        let admin_alone = auth(|options| {
            untold(options);
            options.auth_tokens.clear();
            options.admin_token = Some(Secret::new("adm1n-key"));
        });
        assert!(admin_alone.is_err());
        let none = auth(|options| {
            untold(options);
            options.auth_tokens.clear();
        });
        assert!(none.is_ok());
    }

    #[test]
    fn the_log_shows_the_end_of_a_token() {
        assert_eq!(
            masked(&headers(b"Bearer abcdefgh")).as_deref(),
            Some("****efgh")
        );
        assert_eq!(masked(&headers(b"short")).as_deref(), Some("****"));
        assert_eq!(masked(&HeaderMap::new()), None);
    }
}
