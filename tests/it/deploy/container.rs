//! Dockerfile and compose. There is no Docker daemon in CI: the files are linted, and everything that they name is looked for.

use super::{file, text, tool, yaml};
use crate::harness::run;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const DIR: &str = "deploy/compose";

fn services() -> serde_json::Map<String, Value> {
    let compose = yaml("deploy/compose/compose.yaml");
    compose["services"].as_object().expect("services").clone()
}

#[test]
fn hadolint_finds_no_fault() {
    run(tool("hadolint").arg(file("deploy/Dockerfile")));
}

#[test]
fn the_image_is_small_and_without_rights() {
    let dockerfile = text("deploy/Dockerfile");
    let last = dockerfile.rsplit("\nFROM ").next().expect("a stage");
    assert!(last.starts_with("gcr.io/distroless/") && last.contains("\nUSER 65532"));
    assert!(last.contains("\nHEALTHCHECK ") && last.contains("\"health\""));
    // what it copies from the context is let into it
    let ignore = text("deploy/Dockerfile.dockerignore");
    for path in [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        "src",
        "schemas",
        "benches",
        "LICENSE",
    ] {
        assert!(ignore.lines().any(|l| l == format!("!{path}")), "{path}");
        assert!(file(path).exists(), "{path}");
    }
}

#[test]
fn compose_follows_its_specification() {
    let mut check = tool("check-jsonschema");
    let compose = file("deploy/compose/compose.yaml");
    run(check
        .args(["--builtin-schema", "vendor.compose-spec"])
        .arg(compose));
}

#[test]
fn every_file_that_compose_mounts_exists() {
    let compose = yaml("deploy/compose/compose.yaml");
    let mut mounted = 0;
    for (name, service) in services() {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().expect("short form").split(':').next();
            let source = source.expect("source");
            if source.starts_with('.') {
                let path = file(DIR).join(source);
                assert!(path.exists(), "{name}: {}", path.display());
                mounted += 1;
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name}: {source}");
            }
        }
    }
    assert!(mounted >= 8);
    let build = &compose["services"]["flowhouse"]["build"];
    let context = file(DIR).join(build["context"].as_str().expect("context"));
    assert!(
        context
            .join(build["dockerfile"].as_str().expect("file"))
            .exists()
    );
}

#[test]
fn services_are_bounded_watched_and_wait_for_each_other() {
    for (name, service) in services() {
        assert!(service["healthcheck"]["test"].is_array(), "{name}");
        assert!(
            service["deploy"]["resources"]["limits"]["memory"].is_string(),
            "{name}"
        );
        for (of, condition) in service["depends_on"].as_object().into_iter().flatten() {
            assert_eq!(condition["condition"], "service_healthy", "{name} on {of}");
        }
        // nothing but exports is open to the network
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().expect("text");
            assert!(
                port.ends_with("/udp") || port.starts_with("127.0.0.1:"),
                "{name}: {port}"
            );
        }
    }
}

#[test]
fn the_secrets_are_made_and_stay_out_of_the_repository() {
    let dir = tempfile::tempdir().expect("directory");
    let script = file("deploy/compose/make-secrets.sh");
    let make = || run(Command::new("sh").arg(&script).arg(dir.path()));
    make();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect("secret");
    let password = read("clickhouse_password");
    assert_eq!(password.len(), 64);
    make();
    assert_eq!(read("clickhouse_password"), password, "kept");
    let sum = run(Command::new("sha256sum").arg(dir.path().join("clickhouse_password")));
    let hash = sum.split(' ').next().expect("a hash");
    assert!(read("clickhouse_passwords.xml").contains(hash));
    let compose = yaml("deploy/compose/compose.yaml");
    for (name, secret) in compose["secrets"].as_object().expect("secrets") {
        let path = Path::new(secret["file"].as_str().expect("by file"));
        assert_eq!(path.parent(), Some(Path::new("./secrets")), "{name}");
        assert!(
            dir.path().join(path.file_name().expect("name")).exists(),
            "{name}"
        );
    }
    assert_eq!(
        text("deploy/compose/secrets/.gitignore"),
        "*\n!.gitignore\n"
    );
}

#[test]
fn the_collector_of_compose_has_a_configuration_that_holds() {
    // the files are there in the container alone; here are some for it
    let dir = tempfile::tempdir().expect("directory");
    let config = dir.path().join("flowhouse.toml");
    run(Command::new("sh")
        .arg(file("deploy/compose/make-secrets.sh"))
        .arg(dir.path()));
    let mut given = text("deploy/compose/flowhouse.toml");
    let secrets = services()["flowhouse"]["secrets"].clone();
    for name in ["clickhouse_password", "control_token"] {
        assert!(secrets.as_array().expect("a list").contains(&name.into()));
        let (there, secret) = (format!("/run/secrets/{name}"), dir.path().join(name));
        assert!(given.contains(&there), "{name}");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&secret, private).expect("mode");
        given = given.replace(&there, secret.to_str().expect("text"));
    }
    std::fs::write(&config, given).expect("written");
    let mut check = Command::new(crate::harness::exe());
    run(check.args(["check", "--offline", "-c"]).arg(config));
}

#[test]
fn prometheus_and_clickhouse_read_their_files() {
    // beside each other, as they are mounted
    let dir = tempfile::tempdir().expect("directory");
    for from in [
        "deploy/compose/prometheus.yml",
        "deploy/prometheus/alerts.yml",
    ] {
        let name = Path::new(from).file_name().expect("name");
        std::fs::copy(file(from), dir.path().join(name)).expect("copied");
    }
    let mut promtool = Command::new("promtool");
    run(promtool
        .args(["check", "config"])
        .arg(dir.path().join("prometheus.yml")));
    let parse = "import sys, xml.dom.minidom as m; [m.parse(f) for f in sys.argv[1:]]";
    run(tool("python")
        .args(["-c", parse])
        .arg(file("deploy/compose/clickhouse/users.xml"))
        .arg(file("deploy/compose/clickhouse/server.xml")));
}

#[test]
fn grafana_is_given_the_data_sources_that_the_dashboards_use() {
    let sources = yaml("deploy/grafana/provisioning/datasources/flowhouse.yaml");
    let services = services();
    for source in sources["datasources"].as_array().expect("sources") {
        let host = match source["jsonData"]["host"].as_str() {
            Some(host) => host,
            None => {
                let url = source["url"].as_str().expect("url");
                url.trim_start_matches("http://")
                    .split(':')
                    .next()
                    .expect("host")
            }
        };
        assert!(services.contains_key(host), "{host}");
    }
    let providers = yaml("deploy/grafana/provisioning/dashboards/flowhouse.yaml");
    let path = providers["providers"][0]["options"]["path"]
        .as_str()
        .expect("path");
    let volumes = services["grafana"]["volumes"].as_array().expect("volumes");
    assert!(
        volumes
            .iter()
            .any(|v| v.as_str().is_some_and(|v| v.contains(path)))
    );
}
