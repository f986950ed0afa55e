"""Kernels that are there at once: forks of one process, in which what takes seconds to import is
imported already. fastai is not among it, since it asks whether it is in a notebook, and neither is
anything of ours."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning import LocalProvisioner

slow = ['torch', 'scipy.stats', 'sklearn.model_selection', 'matplotlib.pyplot', 'PIL.Image']
forks = multiprocessing.get_context('forkserver')
forks.set_forkserver_preload([*slow, 'IPython', 'ipykernel.kernelapp'])


def end_with(parent):
    "Wait for the end of the process that asked for this one, however it ends, and end all here"
    multiprocessing.connection.wait([parent.sentinel])
    os.killpg(os.getpid(), signal.SIGKILL)


def serve(arguments, folder, env):
    "Be a kernel, in a process group of its own"
    import matplotlib
    import pandas
    from ipykernel.kernelapp import launch_new_instance

    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    # what these two would have chosen if they had been imported in a notebook
    inline = 'module://matplotlib_inline.backend_inline'
    matplotlib.rcParams['backend'] = env.get('MPLBACKEND', inline)
    pandas.options.display.max_columns = 20
    here = str(Path(__file__).parent)
    sys.path[:] = ['', *(o for o in sys.path if o not in ('', here))]
    threading.Thread(target=end_with, args=[multiprocessing.parent_process()], daemon=True).start()
    # with a parent named, it does not say how to reach it from a terminal
    launch_new_instance([*arguments, f'--IPKernelApp.parent_handle={os.getppid()}'])


class Fork:
    "A process that was forked, as `subprocess.Popen` would be"

    stdin = stdout = stderr = None

    def __init__(self, *args):
        self.process = forks.Process(target=serve, args=args)
        self.process.start()
        self.pid = self.process.pid

    def poll(self):
        return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.process.kill()

    def terminate(self):
        self.process.terminate()


class ForkProvisioner(LocalProvisioner):
    "Starts a kernel as a fork"

    async def launch_kernel(self, cmd, cwd=None, env=None, **kwargs):
        # after `python -m ipykernel_launcher`
        self.process = Fork(cmd[3:], cwd or '.', env or dict(os.environ))
        self.pid = self.pgid = self.process.pid
        self.cwd = cwd
        return self.connection_info


class Kernel(AsyncKernelManager):
    "A kernel of this interpreter, whichever others are installed"

    kernel_spec = KernelSpec(
        argv=[sys.executable, '-m', 'ipykernel_launcher', '-f', '{connection_file}'],
        display_name='python3',
        language='python',
    )

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.provisioner = ForkProvisioner(
            parent=self, kernel_id='', kernel_spec=self.kernel_spec
        )
