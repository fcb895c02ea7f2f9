"""The Slurm script, for real but for Slurm: its commands are stood in for by three of a few lines, which run things
on this machine, one Ray for each node."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "deploy" / "slurm" / "tailboard.sbatch"
SRUN = """#!/bin/bash
n=1
while [[ "$1" == --* ]]; do case "$1" in --ntasks=*) n=${1#*=};; esac; shift; done
echo "$n: $*" >> "$SLURM_SAID"
tasks=()
for ((i = 0; i < n; i++)); do "$@" & tasks+=($!); done
trap 'kill "${tasks[@]}"' TERM
for task in "${tasks[@]}"; do while wait "$task"; code=$?; kill -0 "$task" 2> /dev/null; do :; done; done
exit "$code"
"""
SCONTROL = """#!/bin/bash
if [ "$1 $2" = "show hostnames" ]; then tr ',' '\\n' <<< "$3"; else echo "scontrol $*" >> "$SLURM_SAID"; fi
"""
# In place of NVIDIA's: it runs until it is told to quit, and tells of both.
MPS = """#!/bin/bash
pipe=$CUDA_MPS_PIPE_DIRECTORY/control
if [ "$*" = -f ]; then
    echo "MPS in $CUDA_MPS_PIPE_DIRECTORY" >> "$SLURM_SAID"; touch "$pipe"; while [ -e "$pipe" ]; do sleep 0.05; done
else
    echo "MPS $(cat)" >> "$SLURM_SAID"; rm "$pipe"
fi
"""
# It waits in its third epoch while there is a file, so that both nodes have begun when the job is told to save itself.
HELD = """
import time
from dataclasses import dataclass
from pathlib import Path
from tailboard.methods.recipe import ClassWeights, Part, Recipe, register

@dataclass(frozen=True)
class Held(Part):
    def build(self, scene):
        def weights(epoch):
            while epoch >= 2 and Path("HOLD").exists():
                time.sleep(0.05)
            return ClassWeights(scene.tensor([1.0] * scene.classes))
        return weights

register("ERM, held", Recipe(weights=Held()))
"""
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": [{"name": "ERM, held", "plugin": "held.py"}],
    "network": "small",
    "training": {"epochs": 60, "batch_size": 32, "augment": "none"},
    "seeds": 2,
    "resources": {"checkpoint_seconds": 0},
}


class Allocation:
    """A job of Slurm's that is not one: ``start`` is sbatch, and what was said to Slurm is in ``said``."""

    def __init__(self, job, shims: Path) -> None:
        self.job, self.said = job, shims / "said"
        for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("nvidia-cuda-mps-control", MPS)):
            (shims / name).write_text(text)
            (shims / name).chmod(0o755)
        self.environment = os.environ | job.environment | {
            "PATH": f"{shims}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SLURM_SAID": str(self.said), "SLURM_CPUS_PER_TASK": "1", "SLURM_JOB_ID": str(os.getpid()),
        }  # fmt: skip

    def start(self, nodes: str) -> subprocess.Popen[str]:
        self.said.write_text("")
        process = subprocess.Popen(
            ["bash", SCRIPT, "t.yaml", "store"], cwd=self.job.folder, text=True, start_new_session=True,
            env=self.environment | {"SLURM_JOB_NODELIST": nodes}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.job.sessions.append(process.pid)
        return process


@pytest.fixture
def allocation(launcher, tmp_path, shared_mlflow):
    shims = Path(tempfile.mkdtemp(prefix="t-slurm-", dir="/tmp"))
    held = HELD.replace("HOLD", str(tmp_path / "hold"))
    yield Allocation(launcher(tmp_path, SPEC, {"held.py": held}, **shared_mlflow), shims)
    shutil.rmtree(shims)


def test_a_job_saves_itself_before_its_time_is_up_comes_back_and_ends(allocation):
    job = allocation.job
    hold = job.folder / "hold"
    hold.touch()
    process = allocation.start("n1,n2")
    job.wait_for(lambda: len(job.checkpoints()) == 2, process)
    process.send_signal(signal.SIGUSR1)
    hold.unlink()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "the same command goes on" in err
    said = allocation.said.read_text()
    assert "1: ray start --head --block" in said
    assert "1: ray start --block --address=" in said
    assert said.splitlines()[-1] == f"scontrol requeue {os.getpid()}"
    saved = job.checkpoints()
    assert len(saved) == 2, "one trial on each node, each saved"
    assert job.gone_within(60), job.processes()
    process = allocation.start("n1")
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert "| ERM" in out
    assert {record["attempts"] for record in job.records().values()} == {2}, "each went on from its checkpoint"
    assert "requeue" not in allocation.said.read_text()
    assert job.gone_within(60), job.processes()


def test_a_job_uses_no_folder_that_another_user_may_enter(allocation):
    private, elsewhere = Path(f"/tmp/tb-ray-{os.getpid()}"), allocation.said.with_name("elsewhere")  # noqa: S108
    elsewhere.mkdir()
    private.symlink_to(elsewhere)
    process = allocation.start("n1")
    _, err = process.communicate(timeout=60)
    private.unlink()
    assert (process.returncode, err) == (1, f"{private} is not ours on every node\n")
    ray = allocation.said.with_name("ray")
    ray.write_text('#!/bin/bash\nmkdir -p -m 777 $RAY_TMPDIR; stat -c %a $RAY_TMPDIR/.. > "$SLURM_SAID"; exit 1\n')
    ray.chmod(0o755)
    allocation.start("n1").communicate(timeout=60)
    assert allocation.said.read_text().splitlines()[0] == "700"


@pytest.mark.parametrize(
    ("gpu", "starts"), [("0.25", True), ("{gpu: .5}", True), ("1", False), ("0", False), ("1.0", False)]
)
def test_where_a_fraction_of_a_gpu_is_asked_for_mps_runs_as_long_as_ray(allocation, gpu, starts):
    """Ray's stand-in ends once MPS runs, or at once where it is not to run."""
    (allocation.job.folder / "t.yaml").write_text(gpu if "{" in gpu else f"resources:\n  gpu: {gpu}\n")
    ray = allocation.said.with_name("ray")
    ray.write_text(
        '#!/bin/bash\n[ -z "$CUDA_MPS_PIPE_DIRECTORY" ] ||'
        ' until [ -e "$CUDA_MPS_PIPE_DIRECTORY/control" ]; do sleep 0.05; done\nexit 1\n'
    )
    ray.chmod(0o755)
    allocation.start("n1").communicate(timeout=120)
    said = [line for line in allocation.said.read_text().splitlines() if line.startswith("MPS")]
    assert said == ([f"MPS in /tmp/tb-ray-{os.getpid()}/mps", "MPS quit"] if starts else [])
    assert allocation.job.gone_within(10), allocation.job.processes()


def test_a_job_whose_ray_does_not_start_says_so_and_leaves_nothing(allocation):
    ray = allocation.said.with_name("ray")
    ray.write_text("#!/bin/bash\nmkdir -p $RAY_TMPDIR\nexit 1\n")
    ray.chmod(0o755)
    process = allocation.start("n1")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "Ray does not start on " in err
    assert not Path(f"/tmp/tb-ray-{os.getpid()}").exists()  # noqa: S108
    assert allocation.job.gone_within(10)
