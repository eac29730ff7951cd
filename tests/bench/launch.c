/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The program: all it does is to have the bench's library in front of the C
 * library, so that meter.c and record.c see what plugins allocate and send.
 */

int bench_main(int argc, char *argv[]);

int main(int argc, char *argv[])
{
	return bench_main(argc, argv);
}
