help:
	@echo "see README.md"
