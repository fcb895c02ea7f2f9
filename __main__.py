from tailboard.harness.cli import main

main()
