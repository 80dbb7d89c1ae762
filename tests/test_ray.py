"""The plugin's models in a Ray worker."""


def test_a_ray_worker_knows_the_models_once_it_imports_the_plugin(tmp_path):
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:

        @ray.remote
        def names() -> tuple[str, str]:
            from recbole.config import Config
            from recbole.utils import get_trainer

            import recbole_hetcomp  # noqa: F401

            config = Config(model="HetComp", dataset="ml-100k")
            return config["model"], get_trainer(config["MODEL_TYPE"], config["model"]).__name__

        assert ray.get(names.remote(), timeout=120) == ("HetComp", "HetCompTrainer")
    finally:
        ray.shutdown()
