//! Charts and what becomes of them.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The oldest version that the charts are for, the newest there is, and some between.
pub const KUBERNETES: [&str; 4] = ["1.27", "1.30", "1.33", "1.36"];

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folders of all charts.
pub fn charts() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("helm")).expect("helm/ is there");
    let mut charts: Vec<_> = entries.map(|entry| entry.expect("an entry of helm/").path()).collect();
    charts.retain(|path| path.join("Chart.yaml").exists());
    charts.sort();
    charts
}

/// The chart of a connector.
pub fn connector() -> PathBuf {
    root().join("helm/iot-connector")
}

/// The example values of a chart.
pub fn examples(chart: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(chart.join("examples")) else { return Vec::new() };
    let mut examples: Vec<_> = entries.map(|entry| entry.expect("an entry of examples/").path()).collect();
    examples.sort();
    examples
}

/// An example of a connector.
pub fn example(name: &str) -> PathBuf {
    connector().join("examples").join(format!("{name}.yaml"))
}

/// Runs helm.
pub fn helm(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    let program = end_to_end::folder("IOTC_TEST_HELM", "charts").join("bin/helm");
    Command::new(program).args(arguments).output().expect("helm starts")
}

/// Values that a chart is rendered with: files, and single ones (`a.b=c`).
#[derive(Clone, Debug, Default)]
pub struct Values {
    release: Option<String>,
    arguments: Vec<String>,
}

impl Values {
    /// Those of an example of the connector.
    pub fn example(name: &str) -> Values {
        Values::default().file(&example(name))
    }

    /// Names the release, which is `rel` otherwise.
    pub fn release(self, name: &str) -> Values {
        Values { release: Some(name.to_owned()), ..self }
    }

    /// Adds a file.
    pub fn file(mut self, path: &Path) -> Values {
        self.arguments.extend(["--values".to_owned(), path.display().to_string()]);
        self
    }

    /// Adds single values; helm guesses their types.
    pub fn set(mut self, values: &[&str]) -> Values {
        for value in values {
            self.arguments.extend(["--set".to_owned(), (*value).to_owned()]);
        }
        self
    }

    /// Adds single texts, which helm takes for nothing else.
    pub fn set_strings(mut self, values: &[&str]) -> Values {
        for value in values {
            self.arguments.extend(["--set-string".to_owned(), (*value).to_owned()]);
        }
        self
    }

    /// Adds `path=JSON`.
    pub fn json(mut self, value: &str) -> Values {
        self.arguments.extend(["--set-json".to_owned(), value.to_owned()]);
        self
    }

    /// The manifests of `chart`, or what helm says.
    pub fn render(&self, chart: &Path, kubernetes: &str) -> Result<String, String> {
        let chart = chart.display().to_string();
        let release = self.release.as_deref().unwrap_or("rel");
        let fixed = ["template", release, &chart, "--namespace", "iot", "--api-versions", "keda.sh/v1alpha1"];
        let version = format!("{kubernetes}.0");
        let arguments = fixed.into_iter().chain(["--kube-version", &version]).map(str::to_owned);
        let output = helm(arguments.chain(self.arguments.iter().cloned()));
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        match output.status.success() {
            // A warning is wrong too.
            true if stderr.is_empty() => Ok(stdout),
            _ => Err(stderr),
        }
    }

    /// The objects of a connector.
    #[track_caller]
    pub fn objects(&self) -> Objects {
        let manifests = self.render(&connector(), "1.33").unwrap_or_else(|error| panic!("{self:?}: {error}"));
        Objects::of(&manifests)
    }

    /// What is said of values that are refused.
    #[track_caller]
    pub fn refusal(&self) -> String {
        match self.render(&connector(), "1.33") {
            Ok(_) => panic!("{self:?} is taken"),
            Err(error) => error,
        }
    }
}

/// Rendered objects.
#[derive(Clone, Debug)]
pub struct Objects(pub Vec<Value>);

impl Objects {
    /// Parses manifests.
    #[track_caller]
    pub fn of(manifests: &str) -> Objects {
        let output = judge(&["json"], manifests);
        assert!(output.status.success(), "{}", text(&output.stderr));
        Objects(serde_json::from_slice(&output.stdout).expect("an array of documents"))
    }

    /// Those of a kind.
    pub fn kind(&self, kind: &str) -> impl Iterator<Item = &Value> + use<'_> {
        let kind = kind.to_owned();
        self.0.iter().filter(move |object| object["kind"] == kind.as_str())
    }

    /// The one of that kind and name.
    #[track_caller]
    pub fn get(&self, kind: &str, name: &str) -> &Value {
        let found = self.kind(kind).find(|object| object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("there is no {kind} `{name}`"))
    }
}

/// Parses the manifests of several cases at once.
#[track_caller]
pub fn objects_of_all(cases: &[(String, String)]) -> Vec<(String, Objects)> {
    let joined = cases.iter().map(|(name, manifests)| format!("---\ncase: {}\n{manifests}", Value::from(&**name)));
    let mut all: Vec<(String, Objects)> = Vec::new();
    for document in Objects::of(&joined.collect::<String>()).0 {
        match (document["case"].as_str(), all.last_mut()) {
            (Some(name), _) => all.push((name.to_owned(), Objects(Vec::new()))),
            (None, Some((_, objects))) => objects.0.push(document),
            (None, None) => panic!("a document before the first case"),
        }
    }
    all
}

/// The plain environment of a Deployment.
pub fn env(deployment: &Value) -> Vec<(String, String)> {
    let variables = container(deployment)["env"].as_array().expect("an environment").iter();
    variables
        .filter_map(|variable| Some((variable["name"].as_str()?.to_owned(), variable["value"].as_str()?.to_owned())))
        .collect()
}

/// The only container of a Deployment.
pub fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

/// Runs `manifests.py` on manifests.
pub fn judge(arguments: &[&str], manifests: &str) -> Output {
    let component = end_to_end::folder("IOTC_TEST_MANIFESTS", "charts");
    let mut command = Command::new(component.join("venv/bin/python"));
    command.arg(root().join("tests/components/manifests/manifests.py"));
    with_input(command.args(arguments), manifests)
}

/// Runs a command that reads all of its input before it prints.
pub fn with_input(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads its input");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// Printed text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
