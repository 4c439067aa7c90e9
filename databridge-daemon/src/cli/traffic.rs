//! `databridge bandwidth …`, `databridge host …`

use clap::Subcommand;
use databridge_core::app::Call;
use databridge_core::control::jobs::SetBandwidth;
use serde_json::Value;

use super::Outcome;
use super::backend::Backend;
use super::files::rate;
use super::view::{Show, size, text, time};

#[derive(Debug, Subcommand)]
pub enum Bandwidth {
    /// The limits that were set at run time.
    List,
    /// Limits all copies of a host together; those that run follow within a second.
    Set {
        /// 200M, 1.5G, or `none` for as fast as it goes.
        #[arg(value_parser = limit)]
        rate: Limit,
        /// A host's name; every host without a limit of its own where it is left out.
        #[arg(long)]
        host: Option<String>,
    },
    /// Takes a limit back: the configuration holds again.
    Reset {
        /// A host's name.
        #[arg(long)]
        host: Option<String>,
    },
}

#[derive(Debug, Clone, Copy)]
pub struct Limit(Option<u64>);

fn limit(text: &str) -> Result<Limit, String> {
    match text {
        "none" => Ok(Limit(None)),
        text => rate(text).map(|rate| Limit(Some(rate))),
    }
}

impl Bandwidth {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        let call = match self {
            Self::List => Call::BandwidthList {},
            Self::Set { rate, host } => {
                Call::BandwidthSet(SetBandwidth { host, bytes_per_second: rate.0, reset: false })
            }
            Self::Reset { host } => {
                Call::BandwidthSet(SetBandwidth { host, bytes_per_second: None, reset: true })
            }
        };
        let limits = on.call(call)?;
        show.document(&limits);
        if limits.as_array().is_some_and(Vec::is_empty) {
            show.aside("no limit was set: those of the configuration hold");
        }
        for limit in limits.as_array().into_iter().flatten() {
            show.line(format!(
                "{:<20} {:>12}  by {} at {}",
                text(&limit["host"]),
                shown(&limit["bytes_per_second"]),
                text(&limit["set_by"]),
                time(&limit["set_at"]),
            ));
        }
        Ok(0)
    }
}

fn shown(rate: &Value) -> String {
    rate.as_u64().map_or_else(|| "no limit".into(), |rate| format!("{}/s", size(rate)))
}

#[derive(Debug, Subcommand)]
pub enum Host {
    /// The daemons that share the store, and whether they were heard of lately.
    List,
}

impl Host {
    pub fn run(self, on: &Backend, show: &Show) -> Outcome {
        let hosts = on.call(Call::HostList {})?;
        show.document(&hosts);
        for host in hosts.as_array().into_iter().flatten() {
            let state = match (host["alive"] == true, host["draining"] == true) {
                (false, _) => "silent",
                (true, true) => "draining",
                (true, false) => "alive",
            };
            let can: Vec<&str> = host["can"].as_array().into_iter().flatten().map(text).collect();
            show.line(format!(
                "{:<20} {:<5} {state:<8} {} of {} jobs  {}  seen {}",
                text(&host["name"]),
                text(&host["role"]),
                host["jobs"],
                host["workers"],
                can.join(","),
                time(&host["seen_at"]),
            ));
        }
        Ok(0)
    }
}
