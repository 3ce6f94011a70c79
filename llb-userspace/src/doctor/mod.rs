//! Tries each thing that llb needs by really doing it, and says what is there, what is missing and what to do.
//!
//! The checks follow llb's own way: kernel and rights, a cgroup with a process in it, the programs, and then a small
//! fleet of this very binary that shares a port, is steered, and loses a worker on which connections wait. Whatever
//! happens, no process, cgroup or file is left, and nothing is waited for without a deadline.

mod ebpf;
mod findings;
mod fixture;
mod machine;
mod migrate;
mod missing;
mod other_users;
mod runtime_dir;
mod steer;
pub(crate) mod worker;

use std::{ffi::OsString, path::PathBuf};

pub(crate) use findings::Findings;
pub(crate) use machine::{MachineError, check as check_machine, check_identity};

use crate::{
    config::{Name, NameError},
    kernel,
};
use fixture::CgroupFixture;

/// What the names of examinations begin with; the process id follows.
const PREFIX: &str = "doctor-";

const KERNEL: &str = "kernel";
const RIGHTS: &str = "rights";
const OTHER_USERS: &str = "other users";
const CGROUP: &str = "cgroup v2";
const MAPS: &str = "maps";
const ATTACH: &str = "attach";
const SHARED_BIND: &str = "shared bind";
const LISTEN_EVENT: &str = "listen event";
const PIDFD_GETFD: &str = "pidfd_getfd";
const JOIN: &str = "join";
const SELECTION: &str = "selection";
const MIGRATION: &str = "migration";
const WAKING: &str = "waking";
const RUNTIME_DIR: &str = "runtime dir";

/// The steps that each need the one before.
const STEERING: [&str; 8] = [ATTACH, SHARED_BIND, LISTEN_EVENT, PIDFD_GETFD, JOIN, SELECTION, MIGRATION, WAKING];

/// What is to be tried.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Names the cgroup and the directory of this examination; no other one may have it at the same time.
    pub name: Name,
    /// Where fleets have their locks and control sockets.
    pub runtime_dir: PathBuf,
    /// The program and first arguments of a worker that runs [`worker::serve`].
    pub worker: Vec<OsString>,
}

impl Wanted {
    /// A name that no other process has.
    ///
    /// # Errors
    /// None in practice: a process id is a valid part of a name.
    pub(crate) fn own_name() -> Result<Name, NameError> {
        format!("{PREFIX}{}", std::process::id()).parse()
    }
}

/// Tries everything. To be called in a tokio runtime with I/O and time.
///
/// May be dropped at any point: what it has made goes with it.
pub(crate) async fn examine(wanted: &Wanted) -> Findings {
    let mut report = Findings::default();
    report.enter(KERNEL, machine::kernel());
    report.enter(RIGHTS, machine::rights());
    let mut fixture = report.enter(CGROUP, fixture::make(wanted).await);
    other_users::try_out(&mut report, fixture.as_mut()).await;
    report.skip(&[OTHER_USERS], &[CGROUP]);
    load(&mut report, fixture.as_ref());
    // An old kernel that takes all the programs is tried all the same.
    let needed = [&[RIGHTS, CGROUP, MAPS], kernel::programs(), STEERING.as_slice()].concat();
    if let Some(mut fixture) = fixture
        && !report.skip(&STEERING, &needed)
    {
        steer(&mut report, &mut fixture).await;
    }
    report.skip(&STEERING, &needed);
    report.enter(RUNTIME_DIR, runtime_dir::try_out(&wanted.runtime_dir, &wanted.name));
    report
}

fn load(report: &mut Findings, fixture: Option<&CgroupFixture>) {
    let names = [&[MAPS], kernel::programs()].concat();
    // Without the rights each of them would be refused, for the reason that is already said.
    if report.skip(&names, &[RIGHTS]) {
        return;
    }
    let level = fixture.and_then(CgroupFixture::worker_level);
    for (name, tried) in ebpf::try_out(level) {
        report.enter(name, tried);
    }
    report.skip(&names, &[MAPS]);
}

/// The steps of [`STEERING`]; ends at the first that fails.
async fn steer(report: &mut Findings, fixture: &mut CgroupFixture) -> Option<()> {
    let mut steering = report.enter(ATTACH, steer::attach(fixture))?;
    let mut fleet = report.enter(SHARED_BIND, steer::bind(fixture).await)?;
    let cookies = report.enter(LISTEN_EVENT, steer::hear(&mut steering, &fleet).await)?;
    let listeners = report.enter(PIDFD_GETFD, steer::find(&fleet, &cookies))?;
    report.enter(JOIN, steer::join(&mut steering, &fleet, listeners))?;
    report.enter(SELECTION, steer::select(&steering, &fleet).await)?;
    let woken = report.enter(MIGRATION, migrate::migrate(&steering, &mut fleet, &cookies).await)?;
    report.note(WAKING, migrate::say(woken));
    Some(())
}
