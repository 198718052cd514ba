//! Subcommands and flags. Settings come from the settings table, so that a flag cannot exist
//! without its variable, its file key and its line in the reference.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};

use weir::config::settings::{Form, SETTINGS, Setting, name};
use weir::config::{Flags, units};
#[cfg(feature = "demo")]
use weir_demo::DemoArgs;
#[cfg(feature = "pressure")]
use weir_pressure::PressureArgs;

/// A multiplexing MongoDB wire-protocol proxy with a hard connection cap.
#[derive(Debug, Parser)]
#[command(name = "weir", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// What to do; `serve` when absent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `serve`, for `weir` alone.
    #[command(flatten)]
    pub serve: AllSettings,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the proxy (the default).
    Serve(AllSettings),
    /// Validate the settings, log in to the upstream, print what is found; writes nothing.
    Check(CheckArgs),
    /// Exit 0 if a running Weir is healthy, 1 if not; for containers.
    Healthcheck(HealthcheckArgs),
    /// Print the live state of a running Weir.
    Status(StatusArgs),
    /// A real MongoDB, 1,500 clients, directly and through Weir.
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
    /// Not in this build.
    #[cfg(not(feature = "demo"))]
    #[command(hide = true)]
    Demo(Anything),
    /// Not in this version.
    #[command(hide = true)]
    Plan(Anything),
    /// Measure your own deployment.
    #[cfg(feature = "pressure")]
    Bench(BenchArgs),
    /// Not in this build.
    #[cfg(not(feature = "pressure"))]
    #[command(hide = true)]
    Bench(Anything),
}

/// What `weir bench` measures.
#[cfg(feature = "pressure")]
#[derive(Args, Debug)]
pub(crate) struct BenchArgs {
    /// Which measurement.
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// The measurements.
#[cfg(feature = "pressure")]
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Find the pool size your deployment needs.
    Pressure(PressureArgs),
}

/// Flags of `weir check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The settings to check.
    #[command(flatten)]
    pub settings: AllSettings,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
    /// Print connection strings with their passwords.
    #[arg(long)]
    pub show_secrets: bool,
    /// Longest time to wait for the upstream, with its unit.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub timeout: Duration,
}

/// Flags of `weir healthcheck`.
#[derive(Args, Debug)]
pub(crate) struct HealthcheckArgs {
    /// Where the admin server is.
    #[command(flatten)]
    pub settings: AdminSettings,
    /// Ask whether the process lives, not whether it is ready to serve.
    #[arg(long)]
    pub live: bool,
    /// Longest time to wait for the answer, with its unit.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub timeout: Duration,
}

/// Flags of `weir status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// Where the admin server is.
    #[command(flatten)]
    pub settings: AdminSettings,
    /// Print the JSON as it came.
    #[arg(long)]
    pub json: bool,
    /// Longest time to wait for the answer, with its unit.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
}

/// Whatever follows the name of a subcommand that is not in this version: it is refused whole,
/// so its flags are not looked at.
#[derive(Args, Clone)]
pub(crate) struct Anything {
    /// Not looked at.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<OsString>,
}

/// There may be connection strings in it.
impl fmt::Debug for Anything {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Anything")
    }
}

/// Every setting of the table, as flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllSettings(pub Flags);

/// The settings that say where a running Weir can be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdminSettings(pub Flags);

impl AdminSettings {
    const NAMES: [&str; 2] = [name::ADMIN, name::CONFIG];
}

impl Args for AllSettings {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(SETTINGS.iter().map(arg))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for AllSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(flags(matches, SETTINGS.iter())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = flags(matches, SETTINGS.iter());
        Ok(())
    }
}

impl Args for AdminSettings {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(admin_settings().map(arg))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for AdminSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(flags(matches, admin_settings())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0 = flags(matches, admin_settings());
        Ok(())
    }
}

fn admin_settings() -> impl Iterator<Item = &'static Setting> {
    SETTINGS
        .iter()
        .filter(|setting| AdminSettings::NAMES.contains(&setting.flag))
}

/// The flag of one setting. Values stay text: all layers are parsed by the same code.
fn arg(setting: &'static Setting) -> Arg {
    let (variable, default) = (setting.variable, setting.default.show());
    let arg = Arg::new(setting.flag)
        .long(setting.flag)
        .value_name(setting.placeholder())
        .help(format!(
            "{} [env: {variable}] [default: {default}]",
            setting.help
        ));
    match setting.form {
        Form::List(_) => arg.action(ArgAction::Append),
        Form::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        _ => arg.action(ArgAction::Set),
    }
}

/// Collects what was given. Defaults are not among it.
fn flags<'a>(matches: &ArgMatches, settings: impl Iterator<Item = &'a Setting>) -> Flags {
    let mut flags = Flags::default();
    for setting in settings {
        if let Ok(Some(values)) = matches.try_get_many::<String>(setting.flag) {
            flags.set(setting.flag, values.cloned().collect());
        }
    }
    flags
}

fn duration(text: &str) -> Result<Duration, String> {
    units::positive_duration(text).map_err(|error| format!("{error}; {}", error.hint()))
}

#[cfg(test)]
mod tests;
