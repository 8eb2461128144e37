//! A chart's life, by helm.

use std::fs;

use k8s_openapi::api::core::v1::ConfigMap;
use kubernetes_tests::Helm;

use crate::cluster::{LIMIT, restricted};

#[test]
fn helm_installs_upgrades_rolls_back_and_uninstalls() {
    let cluster = restricted("release");
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("templates")).expect("a folder");
    fs::write(folder.path().join("Chart.yaml"), "apiVersion: v2\nname: small\nversion: 1.0.0\n").expect("a chart");
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\n\
                    data: {word: {{ required \"a word is needed\" .Values.word | quote }}}\n";
    fs::write(folder.path().join("templates/map.yaml"), template).expect("a template");
    let chart = folder.path().to_string_lossy().into_owned();
    let helm = Helm::new(&cluster.plane, "release");
    let says = |word: &str| {
        let is = |map: &ConfigMap| map.data.as_ref().is_some_and(|data| data["word"] == word);
        cluster.plane.wait::<ConfigMap>("release", "r1", word, LIMIT, is);
    };

    let error = helm.install("r1", &chart, "{}").expect_err("a value is missing");
    assert!(error.to_string().contains("a word is needed"), "{error}");
    assert!(helm.template("r1", &chart, "word: one").unwrap().contains("word: \"one\""));
    helm.install("r1", &chart, "word: one").unwrap();
    says("one");
    helm.upgrade("r1", &chart, "word: two").unwrap();
    says("two");
    helm.roll_back("r1", 1).unwrap();
    says("one");
    helm.uninstall("r1").unwrap();
    cluster.plane.wait_gone::<ConfigMap>("release", "r1", LIMIT);
}
