//! A real Slurm runs the jobs of a matrix: its exit codes are those of the builds, and what was not built is
//! what the next matrix has.

use dkms_tests::fixture::Module;
use dkms_tests::root::Root;

use super::farm;

/// Waits as long as this file is there: its build is ended from outside.
const HOLD: &str = "MAKE=\"sh -c 'while [ -e /etc/hold ]; do sleep 0.1; done; make -C $kernel_source_dir M=$dkms_tree/two/1.0/build'\"";

/// A cluster of one machine, with these modules in its tree.
fn cluster(modules: &[Module]) -> Root {
    let root = farm();
    for module in modules {
        module.write_to(&root).unwrap();
        root.must(&format!("dkms add {}/{}", module.name, module.version)).unwrap();
    }
    root
}

fn in_slurm(root: &Root, script: &str) {
    let whole = format!("K=$(cat /etc/kernel-of-farm)\n{}\n{script}", include_str!("slurm.sh"));
    root.write("/srv/script", &whole, 0o644).unwrap();
    root.must("unshare --net --uts sh /srv/script 2>&1").unwrap();
}

#[test]
#[ignore = "full tier"]
fn an_array_whose_tasks_all_build_ends_with_0_and_leaves_no_job() {
    let root = cluster(&[Module::new("one", "1.0"), Module::new("two", "1.0"), Module::new("three", "1.0")]);
    in_slurm(
        &root,
        "is \"$(planned | tr '\\n' ' ')\" '0 one/1.0 1 three/1.0 2 two/1.0 '
         array; is $code 0
         is \"$(dkms status | grep -c ': built')\" 3
         is \"$(planned)\" ''",
    );
}

#[test]
#[ignore = "full tier"]
fn a_task_that_fails_gives_the_array_its_code_and_is_the_only_one_left() {
    let broken = Module::new("two", "1.0").with("MAKE=false");
    let root = cluster(&[Module::new("one", "1.0"), broken, Module::new("three", "1.0")]);
    in_slurm(
        &root,
        "planned; array; is $code 10
         grep 'two/1.0' /srv/task-2
         is \"$(dkms status | grep ': built' | cut -d, -f1 | tr '\\n' ' ')\" 'one/1.0 three/1.0 '
         is \"$(planned)\" '0 two/1.0'
         # It is mended, and nothing else is built.
         sed -i /^MAKE/d /usr/src/two-1.0/dkms.conf
         planned; array; is $code 0
         is \"$(planned)\" ''",
    );
}

#[test]
#[ignore = "full tier"]
fn a_task_that_is_killed_fails_the_array_and_the_next_run_does_it_alone() {
    let root = cluster(&[Module::new("one", "1.0"), Module::new("two", "1.0").with(HOLD)]);
    root.write("/etc/hold", "", 0o644).unwrap();
    in_slurm(
        &root,
        "for signal in KILL TERM; do
             planned
             last=$(jq -r '.include[-1].job' /srv/matrix.json)
             (array; [ $code != 0 ]) & waiting=$!
             # Its make runs.
             until pgrep -f 'while .*/etc/hold' >/dev/null; do sleep 0.1; done
             job=$(squeue -h -r -o %F | head -n 1)
             until [ $(squeue -h -r | wc -l) = 1 ]; do sleep 0.1; done
             # The whole of it, as when a node's memory runs out, or a person ends it.
             scancel --signal=$signal --full ${job}_$last
             wait $waiting
             is \"$(planned)\" '0 two/1.0'
             tries=0
             while pgrep -f 'while .*/etc/hold' >/dev/null; do tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.1; done
         done
         is \"$(dkms status two)\" 'two/1.0: added'
         rm /etc/hold
         array; is $code 0
         is \"$(dkms status | grep -c ': built')\" 2
         is \"$(planned)\" ''",
    );
}
