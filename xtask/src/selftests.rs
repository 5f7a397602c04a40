//! The kernel's own test modules: unpacked from the distribution's source package, built out of
//! tree, and rehearsed. Nothing of them is part of this project; what each of them answered on a
//! real kernel is, in `xtask/data/kernel-selftests-6.1.tsv`.

use crate::kbuild;
use crate::kernel::target_directory;
use crate::paths::{self, Headers};
use crate::rehearse;
use crate::tally::Tally;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The longest of them (test_xarray, 41 million checks) is far below this.
const LIMIT: Duration = Duration::from_secs(240);

/// Where in the source tree the modules of the table are.
const PLACES: &[&str] = &[
    "lib",
    "kernel/locking",
    "kernel/time",
    "drivers/base/test",
    "crypto",
];

/// Headers that some of them include from their own directory.
const HEADERS: &[&str] = &["crypto/tcrypt.h", "crypto/internal.h"];

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub module: String,
    /// What the load answered: 0 or a positive errno; none when it hung.
    pub init: Option<i64>,
    /// What the unload answered; none when there was nothing to unload.
    pub exit: Option<i64>,
    /// The last telling line of the log.
    pub last: Option<String>,
}

impl Row {
    /// Whether the module ran on the real kernel: it returned, and not for want of a symbol.
    pub fn runs(&self) -> bool {
        self.init.is_some_and(|init| init != 2)
    }
}

/// Reads the table.
pub fn table(text: &str) -> Result<Vec<Row>, String> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let field: Vec<&str> = line.splitn(5, '\t').collect();
            let [module, init, exit, _, last] = field[..] else {
                return Err(format!("five columns wanted: {line}"));
            };
            Ok(Row {
                module: module.to_owned(),
                init: init.parse().ok(),
                exit: exit.parse().ok(),
                last: (last != "-").then(|| last.to_owned()),
            })
        })
        .collect()
}

/// The project's table.
pub fn rows() -> Result<Vec<Row>, String> {
    let path = paths::root().join("xtask/data/kernel-selftests-6.1.tsv");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    table(&text)
}

/// The source archive of the kernel that the table was made on.
pub fn archive() -> Option<PathBuf> {
    let place = Path::new("/usr/src/linux-source-6.1.tar.xz");
    place.is_file().then(|| place.to_path_buf())
}

/// Unpacks the sources of the table's modules into `dir`, flat and under the table's names.
fn unpack(dir: &Path, rows: &[Row]) -> Result<(), Box<dyn std::error::Error>> {
    let marker = dir.join("unpacked");
    if marker.exists() {
        return Ok(());
    }
    let archive = archive().ok_or("no linux-source-6.1 here: cargo xtask setup")?;
    let tree = dir.join("tree");
    fs::create_dir_all(&tree)?;
    let mut tar = Command::new("tar");
    tar.arg("-xJf").arg(&archive).arg("-C").arg(&tree);
    tar.args([
        "--strip-components=1",
        "--wildcards",
        "--no-wildcards-match-slash",
    ]);
    tar.args(PLACES.iter().map(|p| format!("*/{p}/*.c")));
    tar.args(HEADERS.iter().map(|h| format!("*/{h}")));
    let status = tar.status()?;
    if !status.success() {
        return Err(format!("tar {}: {status}", archive.display()).into());
    }
    let flat = dir.join("lib");
    fs::create_dir_all(&flat)?;
    for row in rows {
        let names = [row.module.clone(), row.module.replacen('_', "-", 1)];
        let source = PLACES
            .iter()
            .flat_map(|p| names.iter().map(move |n| format!("{p}/{n}.c")))
            .map(|p| tree.join(p))
            .find(|p| p.is_file());
        if let Some(source) = source {
            fs::copy(source, flat.join(format!("{}.c", row.module)))?;
        }
    }
    for header in HEADERS {
        let name = Path::new(header).file_name().unwrap_or_default();
        fs::copy(tree.join(header), flat.join(name))?;
    }
    fs::remove_dir_all(&tree)?;
    fs::write(marker, "")?;
    Ok(())
}

/// Builds what can be built; the directory of the modules.
pub fn build(headers: &Headers) -> Result<PathBuf, Box<dyn std::error::Error>> {
    build_in("kernel-selftests", headers, rows()?)
}

/// Builds some of them, for a kernel that not all are written for.
pub fn build_some(
    headers: &Headers,
    names: &[&str],
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let mut rows = rows()?;
    rows.retain(|row| names.contains(&row.module.as_str()));
    build_in("kernel-selftests-some", headers, rows)
}

fn build_in(
    place: &str,
    headers: &Headers,
    rows: Vec<Row>,
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let dir = target_directory().join(place).join(&headers.release);
    fs::create_dir_all(&dir)?;
    unpack(&dir, &rows)?;
    let own = dir.join("tools/testing/selftests");
    fs::create_dir_all(&own)?;
    kbuild::write_if_changed(
        &own.join("kselftest_module.h"),
        &fs::read(paths::root().join("xtask/data/kselftest_module.h"))?,
    )?;
    let flat = dir.join("lib");
    let mut kbuild = String::from("# written by cargo xtask modules\n");
    for row in &rows {
        if flat.join(format!("{}.c", row.module)).is_file() {
            kbuild.push_str(&format!("obj-m += {}.o\n", row.module));
        }
    }
    kbuild::write_if_changed(&flat.join("Kbuild"), kbuild.as_bytes())?;
    kbuild::make(headers, &flat, &[], true)?;
    Ok(flat)
}

/// A line with everything that varies from run to run taken out, where it tells of a time or an
/// address; any other line as it is.
fn settled(line: &str) -> String {
    let varies = ["cycles", " ns", "PA: "].iter().any(|w| line.contains(w));
    if !varies {
        return line.trim().to_owned();
    }
    line.trim()
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|w| !w.is_empty() && !w.chars().all(|c| c.is_ascii_hexdigit()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// What a module says in its .modinfo that it depends on.
fn depends(ko: &Path) -> std::io::Result<Vec<String>> {
    let bytes = fs::read(ko)?;
    let key = b"depends=";
    let Some(at) = bytes.windows(key.len()).position(|w| w == key) else {
        return Ok(Vec::new());
    };
    let value: Vec<u8> = bytes[at + key.len()..]
        .iter()
        .copied()
        .take_while(|b| *b != 0)
        .collect();
    Ok(String::from_utf8_lossy(&value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect())
}

/// Compares a rehearsal of a module with a row of the table.
pub fn compare(row: &Row, report: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let load = report.pointer("/result/load").and_then(Value::as_i64);
    let want = row.init.map(|errno| -errno);
    if load != want {
        wrong.push(format!("load {load:?} not {want:?}"));
    }
    if row.exit == Some(0) {
        let exit = report.pointer("/result/exit").and_then(Value::as_str);
        if exit != Some("done") {
            wrong.push(format!("exit {exit:?} not done"));
        }
    }
    if let Some(last) = &row.last {
        let lines = report.get("log").and_then(Value::as_array);
        let found = lines.into_iter().flatten().any(|line| {
            let text = line
                .as_str()
                .or_else(|| line.get("text").and_then(Value::as_str));
            text.is_some_and(|t| settled(t) == settled(last))
        });
        if !found {
            wrong.push(format!("no log line \"{last}\""));
        }
    }
    wrong
}

/// Rehearses every module of the table that ran on the real kernel.
pub fn all(lkm: &Path, built: &Path) -> Result<Tally, Box<dyn std::error::Error>> {
    let mut tally = Tally::new("kernel selftests");
    let claims = crate::marks::selftests()?;
    for row in rows()?.iter().filter(|row| row.runs()) {
        let ko = built.join(format!("{}.ko", row.module));
        if !ko.is_file() {
            tally.add(&row.module, &["it was not built".into()]);
            continue;
        }
        let mut command = Command::new(lkm);
        command.args(["rehearse", "--once", "--json"]);
        for name in depends(&ko)? {
            let needed = built.join(format!("{name}.ko"));
            // Others are the kernel's own modules, which these tests do without.
            if needed.is_file() {
                command.arg("--with").arg(needed);
            }
        }
        command.arg(&ko);
        let ran = rehearse::bounded(&mut command, LIMIT)?;
        let mut wrong = match serde_json::from_str::<Value>(&ran.stdout) {
            Ok(report) => compare(row, &report),
            Err(e) => vec![format!(
                "no report ({e}): {}",
                ran.stderr.lines().last().unwrap_or("")
            )],
        };
        for (_, names) in claims.iter().filter(|(module, _)| *module == row.module) {
            let idle = kbuild::unused(&ko, names.clone())?;
            wrong.extend(idle.iter().map(|name| format!("it does not use {name}")));
        }
        tally.add(&row.module, &wrong);
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_table_is_well_formed() {
        let rows = rows().unwrap();
        assert_eq!(
            (rows.len(), rows.iter().filter(|r| r.runs()).count()),
            (48, 38)
        );
    }

    #[test]
    fn results_are_compared() {
        let rows =
            table("t\t11\t-\t1\t -> 331900 cycles (2692 results)\nu\t0\t0\t1\tu: all 5 passed\n")
                .unwrap();
        let ran = json!({"result": {"load": -11}, "log": [" -> 12 cycles (9 results)"]});
        assert!(compare(&rows[0], &ran).is_empty());
        let ran = json!({"result": {"load": 0, "exit": "done"}, "log": ["u: all 4 passed"]});
        assert_eq!(compare(&rows[1], &ran).len(), 1);
        let ran = json!({"result": {"load": -5, "exit": "fault"}, "log": ["u: all 5 passed"]});
        assert_eq!(compare(&rows[1], &ran).len(), 2);
    }
}
