//! `llb top`.

use std::process::ExitCode;

use super::{args::TopArgs, output};
use crate::{control, top};

pub(super) fn run(args: TopArgs) -> anyhow::Result<ExitCode> {
    let TopArgs { once, name, runtime_dir } = args;
    let name = name.map_or_else(|| first(&control::names(&runtime_dir).unwrap_or_default()), |name| name.to_string());
    if !once {
        return top::live(runtime_dir, name);
    }
    output::write(&top::frame(&control::Client::new(runtime_dir, name))?)?;
    Ok(ExitCode::SUCCESS)
}

/// The fleet that is shown first, of those that there are.
fn first(names: &[String]) -> String {
    const USUAL: &str = "main";
    let other = names.first().filter(|_| !names.iter().any(|name| name == USUAL));
    other.cloned().unwrap_or_else(|| USUAL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::first;

    #[test]
    fn the_usual_fleet_comes_first() {
        let first = |names: &[&str]| first(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!([&[][..], &["api", "web"], &["api", "main"]].map(first), ["main", "api", "main"]);
    }
}
