//! What a run found: a table, `bench.json`, `bench.svg`. Says what was aimed at beside what was reached, and judges nothing.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::summary::Samples;
use super::svg::{self, Bar, Chart, Part};
use super::{Hopped, Loaded, Measured};

/// Most CPU time of host and enclave together for a recovery, over its floor.
const RECOVER_RATIO_AIM: f64 = 1.6;
/// Most of host and both enclaves together for a full recovery of both shares, over the floor of both releases.
const RECOVER_BOTH_RATIO_AIM: f64 = 1.7;
/// Most of the enclave alone.
const ENCLAVE_RATIO_AIM: f64 = 1.25;
/// Most of host and enclave together for storing a share, over its floor.
const STORE_RATIO_AIM: f64 = 1.7;
/// Least requests per second of our hop, over those of gRPC.
const HOP_RATIO_AIM: f64 = 1.8;
/// Most resident memory of host and enclave together.
const MEMORY_AIM_MB: f64 = 25.0;
/// Most CPU time from start to the first recovery.
const START_AIM_MS: f64 = 500.0;

/// A run's results.
pub(super) struct Report<'a>(&'a Measured);

impl<'a> Report<'a> {
    pub(super) fn of(measured: &'a Measured) -> Self {
        Self(measured)
    }

    /// The table.
    pub(super) fn print(&self) {
        let Measured { recover, both, store, frames, grpc, alone_ms, start, steal_percent } = self.0;
        println!("\n{:<58}{:>10}{:>10}  aim", "", "median", "lowest");
        for (name, enclave, load, aim) in [
            ("recover", "enclave", recover, RECOVER_RATIO_AIM),
            ("recover both shares", "both enclaves", both, RECOVER_BOTH_RATIO_AIM),
            ("store a share", "enclave", store, STORE_RATIO_AIM),
        ] {
            line(&format!("{name}: floor, CPU us"), &load.floor, "");
            line(&format!("{name}: host, CPU us"), &load.host, "");
            line(&format!("{name}: {enclave}, CPU us"), &load.enclave, "");
            line(&format!("{name}: host + {enclave} / floor"), &load.ratio(), &format!("at most {aim}"));
            let enclave_aim = if name == "recover" { format!("at most {ENCLAVE_RATIO_AIM}") } else { String::new() };
            line(&format!("{name}: {enclave} / floor"), &load.enclave_ratio(), &enclave_aim);
            line(&format!("{name}: calls/s, 64 in flight, 4 connections"), &load.rate, "");
        }
        line("recover: ms, one connection, one in flight", alone_ms, "");
        line("hop by frames: requests/s", &frames.rate, "");
        line("hop by gRPC: requests/s", &grpc.rate, "");
        line("hop: requests/s, frames / gRPC", &frames.rate.over(&grpc.rate), &format!("at least {HOP_RATIO_AIM}"));
        line("hop by frames: CPU us, both ends", &frames.cpu, "");
        line("hop by gRPC: CPU us, both ends", &grpc.cpu, "");
        line("hop: CPU, gRPC / frames", &grpc.cpu.over(&frames.cpu), "");
        line("start to first recovery: CPU ms", &start.cpu_ms, &format!("at most {START_AIM_MS}"));
        line("start to first recovery: wall ms", &start.wall_ms, "");
        line("idle: host, MB resident", &start.host_mb, "");
        line("idle: enclave, MB resident", &start.enclave_mb, "");
        let both = start.host_mb.plus(&start.enclave_mb);
        line("idle: host + enclave, MB resident", &both, &format!("at most {MEMORY_AIM_MB}"));
        println!("{:<58}{steal_percent:>10.2}\n", "CPU time that others took, percent");
    }

    /// Writes `bench.json` and `bench.svg`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let Measured { recover, both, store, frames, grpc, start, steal_percent, .. } = self.0;
        let json = json!({
            "recover": {
                "floor_us": rounded(recover.floor.median()),
                "end_to_end_us": rounded(recover.whole().median()),
                "end_to_end_ratio": rounded(recover.ratio().median()),
                "enclave_ratio": rounded(recover.enclave_ratio().median()),
            },
            "recover_both": {
                "floor_us": rounded(both.floor.median()),
                "end_to_end_us": rounded(both.whole().median()),
                "end_to_end_ratio": rounded(both.ratio().median()),
                "enclave_ratio": rounded(both.enclave_ratio().median()),
            },
            "store": {
                "floor_us": rounded(store.floor.median()),
                "end_to_end_ratio": rounded(store.ratio().median()),
            },
            "hop": {
                "rps_ratio": rounded(frames.rate.over(&grpc.rate).median()),
                "cpu_ratio": rounded(grpc.cpu.over(&frames.cpu).median()),
            },
            "start": { "cpu_ms": rounded(start.cpu_ms.median()), "wall_ms": rounded(start.wall_ms.median()) },
            "memory": { "host_mb": rounded(start.host_mb.median()), "enclave_mb": rounded(start.enclave_mb.median()) },
            "steal_percent": rounded(*steal_percent),
        });
        fs::write(folder.join("bench.json"), serde_json::to_string_pretty(&json)? + "\n")?;
        fs::write(folder.join("bench.svg"), svg::draw(&[cpu_chart(recover, both, store), hop_chart(frames, grpc)]))?;
        println!("{} and {}", folder.join("bench.json").display(), folder.join("bench.svg").display());
        Ok(())
    }
}

impl Loaded {
    /// Host and enclaves together.
    fn whole(&self) -> Samples {
        self.host.plus(&self.enclave)
    }

    fn ratio(&self) -> Samples {
        self.whole().over(&self.floor)
    }

    fn enclave_ratio(&self) -> Samples {
        self.enclave.over(&self.floor)
    }
}

fn line(name: &str, samples: &Samples, aim: &str) {
    println!("{name:<58}{:>10.2}{:>10.2}  {aim}", samples.median(), samples.min());
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn cpu_chart(recover: &Loaded, both: &Loaded, store: &Loaded) -> Chart {
    let bars = [
        ("recover", recover, RECOVER_RATIO_AIM),
        ("recover both", both, RECOVER_BOTH_RATIO_AIM),
        ("store a share", store, STORE_RATIO_AIM),
    ];
    let bars = bars.into_iter().flat_map(|(name, load, aim)| {
        let floor = load.floor.median();
        let parts = vec![
            Part { name: "enclave", value: load.enclave.median() },
            Part { name: "host", value: load.host.median() },
        ];
        [
            Bar { name: format!("{name}: floor"), parts: vec![Part { name: "floor", value: floor }], aim: None },
            Bar { name: format!("{name}: end to end"), parts, aim: Some(floor * aim) },
        ]
    });
    Chart { title: "CPU time of one call", axis: "microseconds of CPU time", bars: bars.collect() }
}

fn hop_chart(frames: &Hopped, grpc: &Hopped) -> Chart {
    let bar = |name: &str, part, hop: &Hopped, aim| Bar {
        name: name.to_owned(),
        parts: vec![Part { name: part, value: hop.rate.median() }],
        aim,
    };
    Chart {
        title: "Hop from host to enclave, 64 in flight",
        axis: "requests per second",
        bars: vec![
            bar("frames", "host", frames, Some(grpc.rate.median() * HOP_RATIO_AIM)),
            bar("gRPC", "floor", grpc, None),
        ],
    }
}
