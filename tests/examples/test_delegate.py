"""The programs of `examples/delegate`: workers are found for each part of a job, and the boss comes back with it."""

from __future__ import annotations

from play import play, stopped


def test_each_part_goes_to_a_worker_and_the_client_hears_of_the_sum():
    with play("delegate") as example:
        workers = [example.start("worker.py", f"{{{role}}}") for role in ("Left", "Right", "Left")]
        boss = example.start("boss.py")
        assert example.run("client.py") == ["Client received Result(sum=55)"]
        said = stopped(boss)
        assert said[0] == "Boss received Job(numbers=[1, 2, 3, 4, 5])"
        assert said.count("Boss is back from Work") == 2
        done = sorted(line for line in said if "Done" in line)
        assert done == [
            "Boss received Done(answer=16) from Right",
            "Boss received Done(answer=25) from Left",
            "Boss received Done(answer=4) from Right",
            "Boss received Done(answer=9) from Left",
        ]
        heard = [line for worker in workers for line in stopped(worker)]
        assert sorted(heard) == [
            "Left received Task(number=3)",
            "Left received Task(number=5)",
            "Right received Task(number=2)",
            "Right received Task(number=4)",
        ]
