//! `failCommand`, carried out where clients see it.
//!
//! On an upstream node the fail point would hit Weir's own connections, and Weir would hide it.
//! Drivers' test suites want their own socket to fail, so with test commands enabled the fail
//! point acts here. Form, meaning and wording are those of a server (`unified-test-format`,
//! "failCommand", compared with mongod 6.0).

mod codes;

mod fault;

mod mode;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

pub use fault::Planned;

use crate::{
    command::Facts,
    downstream::failpoint::{fault::Fault, mode::Mode},
    error::{Class, ErrorReply},
    wire::raw::{Element, elements, find},
};

/// The fail points of one listener.
#[derive(Debug, Default)]
pub struct FailPoints {
    /// Whether there is a fail point. Every request reads this, so it must cost little.
    active: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often it acted since Weir started. The reply contains this number, as a server's does.
    acted: i64,
    current: Option<(Mode, Fault)>,
}

/// The properties of a request that select a fail point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub name: &'a [u8],
    pub database: &'a [u8],
    pub body: &'a [u8],
    pub class: Class,
    pub app_name: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub(crate) fn of(facts: &Facts, message: &'a [u8], app_name: Option<&'a str>) -> Self {
        Self {
            name: facts.name.of(message),
            database: facts.db.of(message),
            body: facts.body.of(message),
            class: facts.class,
            app_name,
        }
    }
}

impl FailPoints {
    /// Carries out a `configureFailPoint` command. Returns how often the fail point acted. `None`:
    /// it is another fail point, for the upstream.
    pub fn configure(&self, database: &[u8], body: &[u8]) -> Option<Result<i64, ErrorReply>> {
        let named = find(body, b"configureFailPoint")?;
        if named.as_str() != Some(b"failCommand") {
            return None;
        }
        if database != b"admin" {
            let text = "configureFailPoint may only be run against the admin database.";
            return Some(Err(ErrorReply::unauthorized(text)));
        }
        let mode = match Mode::read(find(body, b"mode").as_ref()) {
            Ok(mode) => mode,
            Err(error) => return Some(Err(error)),
        };
        let data = find(body, b"data");
        let data = data
            .as_ref()
            .and_then(Element::as_document)
            .unwrap_or_default();
        let current = (!mode.is_over()).then(|| (mode, Fault::read(data)));
        let mut state = self.state.lock();
        self.active.store(current.is_some(), Ordering::Release);
        state.current = current;
        Some(Ok(state.acted))
    }

    /// Whether [`FailPoints::plan`] may return something.
    pub(crate) fn are_set(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// What happens to a request. `None`: nothing.
    pub(crate) fn plan(&self, asked: Asked<'_>) -> Option<Planned> {
        let mut state = self.state.lock();
        let (mode, fault) = state.current.as_mut()?;
        if !fault.is_meant(asked) || !mode.acts() {
            return None;
        }
        let planned = fault.plan(asked);
        if mode.is_over() {
            self.active.store(false, Ordering::Release);
            state.current = None;
        }
        state.acted += 1;
        Some(planned)
    }
}

/// `client.application.name` of a hello. On a connection's first hello the fail point must know
/// it before the hello is answered.
pub(crate) fn introduced_app(body: &[u8]) -> Option<String> {
    let client = find(body, b"client")?;
    let application = find(client.as_document()?, b"application")?;
    let name = find(application.as_document()?, b"name")?;
    Some(String::from_utf8_lossy(name.as_str()?).into_owned())
}

/// The strings of an array.
fn strings(data: &[u8], key: &[u8]) -> Option<Vec<Vec<u8>>> {
    let list = find(data, key)?;
    let items = elements(list.as_array()?).map_while(Result::ok);
    Some(
        items
            .filter_map(|item| item.as_str().map(<[u8]>::to_vec))
            .collect(),
    )
}
